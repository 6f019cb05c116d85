//! The examples of targets in C and Python against the energies of the same name that are compiled in: each of them
//! with the real compiler, package or client.
//!
//! What is not installed is left out, with a line that says so. METASTABLE_PYTHON names other interpreters than python3,
//! with a colon between them: each example runs in the first that has its package.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use models::target::registry::Parameter;
use models::target::{AnyTarget, Pointwise, Target, TargetConfig, pilot_states};

/// The folder of the examples, copied.
struct Examples(tempfile::TempDir);

impl Examples {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/examples/targets");
        for file in std::fs::read_dir(own).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The target of an example's description, with some of its text replaced.
    fn target(&self, name: &str, changes: &[(&str, &str)]) -> Arc<dyn AnyTarget> {
        let mut text = std::fs::read_to_string(self.path(name)).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{name}: {from}");
            text = text.replace(from, to);
        }
        let path = self.path(&format!("changed-{name}"));
        std::fs::write(&path, text).unwrap();
        let mut config = TargetConfig::of("own").unwrap();
        config.parameters.insert("file".into(), Parameter::Text(path.display().to_string()));
        config.build().unwrap_or_else(|e| panic!("{e}"))
    }

    /// Compiles a library; false without a compiler.
    fn compile(&self, sources: &[&str], library: &str) -> bool {
        let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", include, "-o", library]);
        let Ok(out) = cc.args(sources).arg("-lm").current_dir(self.0.path()).output() else {
            println!("left out: there is no C compiler here");
            return false;
        };
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        true
    }
}

/// The first Python that has these packages.
fn python_with(packages: &str) -> Option<String> {
    let all = std::env::var("METASTABLE_PYTHON").unwrap_or("python3".into());
    let has = |python: &&str| {
        let out = Command::new(python).args(["-c", &format!("import {packages}")]).output();
        out.is_ok_and(|out| out.status.success())
    };
    let found = all.split(':').find(has).map(String::from);
    if found.is_none() {
        println!("left out: no {packages} in {all}");
    }
    found
}

/// A client of i-PI, which is ended with this.
struct Client(Child);

impl Client {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lj13() -> Arc<dyn AnyTarget> {
    TargetConfig::of("lj13").unwrap().build().unwrap()
}

/// Both agree to rounding at `n` states, in whole batches and in blocks.
fn agree(one: &dyn Target<f64>, other: &dyn Target<f64>, n: usize) {
    let d = one.dim();
    assert_eq!(one.geometry(), other.geometry());
    let x = pilot_states(one, 1.0, n);
    let at = |target: &dyn Target<f64>| {
        let (mut log_p, mut score) = (vec![0.0; n], vec![0.0; n * d]);
        target.evaluate(&x, &mut log_p, &mut score).unwrap_or_else(|e| panic!("{e}"));
        let mut alone = vec![0.0; n];
        target.evaluate(&x, &mut alone, &mut []).unwrap();
        assert_eq!(alone, log_p, "without gradients");
        (log_p, score)
    };
    let ((p, s), (q, t)) = (at(one), at(other));
    for i in 0..n {
        let (s, t) = (&s[i * d..(i + 1) * d], &t[i * d..(i + 1) * d]);
        // What the pairs of a particle sum up to may be small where they are large.
        let size = s.iter().fold(1.0, |size: f64, s| size.max(s.abs()));
        assert!((p[i] - q[i]).abs() <= 1e-9 * p[i].abs().max(1.0), "{} {}", p[i], q[i]);
        assert!(s.iter().zip(t).all(|(s, t)| (s - t).abs() <= 1e-9 * size), "{s:?} {t:?}");
    }
}

#[test]
fn libraries_in_c() {
    let examples = Examples::new();
    if !examples.compile(&["ring.c"], "libring.so") || !examples.compile(&["lj13.c"], "liblj13.so") {
        return;
    }
    let ring = Pointwise::new(2, |x: &[f64], gradient: &mut [f64]| {
        let r = x[0].hypot(x[1]);
        gradient.copy_from_slice(&[4.0 * (r - 3.0) * x[0] / r, 4.0 * (r - 3.0) * x[1] / r]);
        2.0 * (r - 3.0).powi(2)
    });
    agree(&ring, examples.target("ring_library.toml", &[]).double(), 300);
    agree(lj13().double(), examples.target("lj13_library.toml", &[]).double(), 300);
}

/// BridgeStan's functions for a standard normal density, in place of a model of Stan.
const NORMAL: &str = r#"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
typedef struct bs_model { int d; } bs_model;
bs_model* bs_model_construct(const char* data, unsigned int seed, char** error) {
    if (strcmp(data, "rows.json") || seed) { *error = strdup("no such data"); return NULL; }
    bs_model* m = malloc(sizeof *m);
    m->d = 3;
    return m;
}
void bs_model_destruct(bs_model* m) { free(m); }
void bs_free_error_msg(char* error) { free(error); }
int bs_param_unc_num(const bs_model* m) { return m->d; }
int bs_log_density_gradient(const bs_model* m, bool propto, bool jacobian, const double* x, double* lp, double* g,
                            char** error) {
    if (propto || !jacobian) { *error = strdup("what is asked for"); return -1; }
    if (x[0] > 40) { *error = strdup("Scale parameter is inf"); return -1; }
    *lp = 0.0;
    for (int a = 0; a < m->d; a++) { *lp -= 0.5 * x[a] * x[a]; if (g) g[a] = x[a] > 30 ? -1.0 / 0.0 : -x[a]; }
    return 0;
}
int bs_log_density(const bs_model* m, bool propto, bool jacobian, const double* x, double* lp, char** error) {
    return bs_log_density_gradient(m, propto, jacobian, x, lp, NULL, error);
}
"#;

#[test]
fn the_shim_of_bridgestan_with_functions_of_that_name() {
    let examples = Examples::new();
    std::fs::write(examples.path("model.c"), NORMAL).unwrap();
    if !examples.compile(&["bridgestan_shim.c", "model.c"], "libstan.so") {
        return;
    }
    let text = "kind = \"library\"\npath = \"libstan.so\"\nconfig = \"rows.json\"\ndim = 3\n";
    std::fs::write(examples.path("stan.toml"), text).unwrap();
    let normal = Pointwise::new(3, |x: &[f64], gradient: &mut [f64]| {
        gradient.copy_from_slice(x);
        0.5 * x.iter().map(|x| x * x).sum::<f64>()
    });
    let stan = examples.target("stan.toml", &[]);
    agree(&normal, stan.double(), 20);
    // Where Stan throws the density is 0; where only a derivative overflows the state keeps its energy.
    let (mut log_p, mut score) = ([0.0; 2], [1.0; 6]);
    stan.double().evaluate(&[41.0, 0.0, 1.0, 32.0, 2.0, 0.0], &mut log_p, &mut score).unwrap();
    assert_eq!(log_p, [f64::NEG_INFINITY, -514.0]);
    assert_eq!(score.map(f64::abs), [0.0, 0.0, 0.0, 0.0, 2.0, 0.0]);
    std::fs::write(examples.path("odd.toml"), text.replace("rows", "other")).unwrap();
    let mut config = TargetConfig::of("own").unwrap();
    config.parameters.insert("file".into(), Parameter::Text(examples.path("odd.toml").display().to_string()));
    let said = config.build().err().unwrap().to_string();
    assert!(said.ends_with("metastable_energy_open failed: no such data"), "{said}");
}

#[test]
fn programs_in_numpy_jax_and_pytorch() {
    for package in ["numpy", "jax", "torch"] {
        let Some(python) = python_with(&format!("numpy, {package}")) else { continue };
        let examples = Examples::new();
        let program = format!("lj13_{package}.py");
        let changes = [("python3", &*python), ("lj13_numpy.py", &program)];
        let target =
            examples.target("lj13_program.toml", &changes[if package == "numpy" { 0..1 } else { 0..2 }]);
        agree(lj13().double(), target.double(), 300);
    }
}

#[test]
fn what_a_function_in_python_says_and_prints() {
    let Some(python) = python_with("numpy") else { return };
    let examples = Examples::new();
    for (body, want) in [
        ("return (x**2).sum(1), 2 * x, 3", "ValueError: zip() argument"),
        ("return x.sum(), x", "ValueError: energies have the shape (), wanted are (8,)"),
        ("return x[:, 0], x[0]", "ValueError: gradients have the shape (2,), wanted are (8, 2)"),
        ("return x[:, 0], unknown", "NameError: name 'unknown' is not defined (mine.py, line 6)"),
        ("print('hello', flush=True); os.write(1, b'hello'); return 0.5 * (x**2).sum(1), x", ""),
    ] {
        let text = format!(
            "import os\nfrom metastable_energy import serve\n\n\ndef both(x):\n    {body}\n\n\nserve(both)\n"
        );
        std::fs::write(examples.path("mine.py"), text).unwrap();
        let file = examples.path("mine.toml");
        let text =
            format!("kind = \"program\"\ncommand = [\"{python}\", \"mine.py\"]\ndim = 2\n# {body:?}\n");
        std::fs::write(&file, text).unwrap();
        let mut config = TargetConfig::of("own").unwrap();
        config.parameters.insert("file".into(), Parameter::Text(file.display().to_string()));
        let said = config.build().err().map_or(String::new(), |e| e.to_string());
        assert!(said.contains(want) && said.is_empty() == want.is_empty(), "{said}");
    }
}

#[test]
fn a_library_of_numba() {
    let Some(python) = python_with("numba") else { return };
    let examples = Examples::new();
    let mut make = Command::new(python);
    let out = make.args(["lj13_numba.py", "liblj13.so"]).current_dir(examples.0.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    agree(lj13().double(), examples.target("lj13_library.toml", &[]).double(), 300);
}

#[test]
fn lennard_jones_of_ase() {
    let Some(python) = python_with("ase") else { return };
    let examples = Examples::new();
    let name = format!("metastable-ase-{}", std::process::id());
    let unix = format!("unix = \"{name}\"\ncheck_gradient = false");
    let target = examples
        .target("lj13_ipi.toml", &[("address = \"localhost:31415\"", &unix), ("clients = 1", "clients = 2")]);
    let client = || Client::start(Command::new(&python).arg(examples.path("lj13_ase.py")).arg(&name));
    let _two = [client(), client()];
    agree(lj13().double(), target.double(), 40);
}

#[test]
fn the_stock_client_of_ipi_one_by_one_and_in_batches() {
    let Some(python) = python_with("ipi.pes") else { return };
    let driver = Path::new(&python).with_file_name("i-pi-driver-py");
    for batch in [1, 32] {
        let examples = Examples::new();
        let name = format!("metastable-ipi-{}-{batch}", std::process::id());
        let text = format!(
            "kind = \"ipi\"\nunix = \"{name}\"\nbatch = {batch}\ndim = 12\nlength = 2.0\ntemperature = 0.5\ncheck_gradient = false\n"
        );
        std::fs::write(examples.path("harmonic.toml"), text).unwrap();
        let target = examples.target("harmonic.toml", &[]);
        let mut client = Command::new(&driver);
        let _client = Client::start(client.args(["-u", "-a", &name, "-m", "harmonic", "-o", "1.5"]));
        // 1/2 k (l x)^2 / T = 6 x^2.
        let harmonic = Pointwise::new(12, |x: &[f64], gradient: &mut [f64]| {
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g = 12.0 * x);
            6.0 * x.iter().map(|x| x * x).sum::<f64>()
        });
        agree(&harmonic, target.double(), 100);
    }
}
