//! Libraries in C, good and faulty, made by the system's compiler; left out where there is none.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::target::own::batch_energy::Elsewhere;
use crate::target::{Geometry, Target};

/// E = k |x|^2 / 2 with k from the text of open; faults by macros.
const SOURCE: &str = r#"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "metastable_energy.h"

#ifndef VERSION
#define VERSION METASTABLE_ENERGY_VERSION
#endif
static char said[200];

#ifndef NO_VERSION
int metastable_energy_version(void) { return VERSION; }
#endif
void* metastable_energy_open(const char* config) {
    double* k = malloc(sizeof(double));
    *k = 1.0;
    if (*config && sscanf(config, "k = %lf", k) != 1) {
        sprintf(said, "cannot read\n  `%s`", config);
        free(k);
        return NULL;
    }
    return k;
}
void metastable_energy_close(void* self) { free(self); }
const char* metastable_energy_error(void* self) { return said; }
#ifdef DIM
int metastable_energy_dim(void* self) { return DIM; }
#endif
#ifndef NO_ENERGY
int metastable_energy(void* self, int n, int d, const double* x, double* energy, double* gradient) {
    double k = *(double*)self;
#ifdef ONE
    static int inside = 0;
    if (inside++) return 9;
#endif
    for (int i = 0; i < n; i++) {
        double sum = 0.0;
        for (int a = 0; a < d; a++) sum += x[i * d + a] * x[i * d + a];
        energy[i] = 0.5 * k * sum;
        if (sum > 1e6) { sprintf(said, "row %d of %d is too far out", i, n); return 7; }
        if (gradient) for (int a = 0; a < d; a++) gradient[i * d + a] = k * x[i * d + a];
    }
#ifdef ONE
    inside--;
#endif
    return 0;
}
#endif
"#;

/// The library with these macros; none without a compiler.
fn compiled(folder: &Path, macros: &[&str]) -> Option<LibraryConfig> {
    let (source, path) = (folder.join("mine.c"), folder.join("libmine.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-I", include]).args(macros);
    let Ok(out) = cc.arg("-o").arg(&path).arg(&source).arg("-lm").output() else {
        println!("left out: there is no C compiler here");
        return None;
    };
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(LibraryConfig { path, ..LibraryConfig::default() })
}

fn target(config: &LibraryConfig) -> Result<Elsewhere<Library>, TargetError> {
    Ok(Elsewhere { energy: Library::open(config, 3)?, geometry: Geometry::Euclidean(3), offset: 0.0 })
}

/// 1000 rows, more than several blocks.
fn states() -> Vec<f64> {
    (0..3000).map(|i| (f64::from(i) * 0.37).sin() * 3.0).collect()
}

fn evaluated(target: &Elsewhere<Library>, threads: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut log_p, mut score) = (vec![0.0; 1000], vec![0.0; 3000]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| target.evaluate(&states(), &mut log_p, &mut score)).unwrap();
    let mut alone = vec![0.0; 1000];
    target.evaluate(&states(), &mut alone, &mut []).unwrap();
    assert_eq!(log_p, alone);
    (log_p, score)
}

#[test]
fn energies_and_gradients_are_the_libraries_own_for_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut config) = compiled(folder.path(), &["-DDIM=3", "-DONE"]) else { return };
    config.config = "k = 2.5".into();
    let one = target(&config).unwrap();
    let (log_p, score) = evaluated(&one, 4);
    for ((l, s), x) in log_p.iter().zip(score.chunks(3)).zip(states().chunks(3)) {
        assert!((l + 1.25 * x.iter().map(|x| x * x).sum::<f64>()).abs() < 1e-12);
        assert!((0..3).all(|a| s[a] == -2.5 * x[a]));
    }
    // Callers in parallel wait for each other: two at once would be told 9.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    let ends = pool.install(|| {
        parallel::map(64, |_| one.evaluate(&states(), &mut vec![0.0; 1000], &mut vec![0.0; 3000]))
    });
    assert!(ends.iter().all(Result::is_ok));
    let folder = tempfile::tempdir().unwrap();
    let Some(many) = compiled(folder.path(), &[]) else { return };
    let many = target(&LibraryConfig { threads: Threads::Many, config: config.config, ..many }).unwrap();
    assert_eq!(evaluated(&many, 1), (log_p.clone(), score.clone()));
    assert_eq!(evaluated(&many, 4), (log_p, score));
}

#[test]
fn what_is_wrong_with_a_library_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = |config: &LibraryConfig| {
        let said = target(config).err().unwrap().to_string();
        assert!(!said.contains('\n'));
        said.strip_prefix(&format!("{}: ", config.path.display())).unwrap().to_string()
    };
    for (k, (macros, what)) in [
        (
            &["-DVERSION=2"][..],
            "is for version 2 of metastable_energy.h, this program for 1; compile it with",
        ),
        (&["-DNO_VERSION"], "has no function metastable_energy_version; implement metastable_energy.h"),
        (&["-DNO_ENERGY"], "has no function metastable_energy; implement metastable_energy.h"),
        (&["-DDIM=4"], "its states have 4 coordinates, the target's 3; correct dim"),
    ]
    .into_iter()
    .enumerate()
    {
        // A loaded file must not change.
        let folder = folder.path().join(k.to_string());
        std::fs::create_dir(&folder).unwrap();
        let Some(config) = compiled(&folder, macros) else { return };
        let said = said(&config);
        assert!(said.starts_with(what), "{said}");
    }
    let Some(config) = compiled(folder.path(), &[]) else { return };
    let odd = LibraryConfig { config: "no number".into(), ..config.clone() };
    assert_eq!(said(&odd), "metastable_energy_open failed: cannot read `no number`");
    let far =
        target(&config).unwrap().evaluate(&[1.0, 2.0, 3.0, 4e3, 0.0, 0.0], &mut [0.0; 2], &mut [0.0; 6]);
    let far = far.unwrap_err().to_string();
    assert!(far.ends_with("libmine.so: metastable_energy returned 7: row 1 of 2 is too far out"), "{far}");
    let none = LibraryConfig { path: folder.path().join("libnone.so"), ..LibraryConfig::default() };
    assert_eq!(said(&none), "no such file; compile the library first");
    std::fs::write(&none.path, "no library").unwrap();
    let said = said(&none);
    assert!(said.starts_with("cannot be loaded: file too short") || said.contains("ELF"), "{said}");
}
