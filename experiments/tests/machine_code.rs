//! Reads what the compiler has made of the kernels that take the time, at each SIMD level, whatever the CPU at
//! hand: vectors of full width, no gathers, no permutations and no sums on the stack in their inner loops.
//!
//! Kernels are found by name in the binaries that hold them, and their inner loops by jumps back over code that
//! has no such jump. A kernel's main loop is the one with the most arithmetic; loops for what is left over may be
//! narrower, but not longer. Needs `objdump` and an x86-64 CPU; elsewhere it says so and passes.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use engine::packed_gemm::{LANES, Operand, Output, outer, product};
use engine::{Shape, View};

/// What is asked of a kernel's main loop.
struct Kernel {
    /// The function's path, without the level.
    name: &'static str,
    /// The least share of fused multiply-adds among all instructions, at AVX2 and AVX-512.
    fused: [f64; 2],
    /// The least share of arithmetic at full width, at AVX2 and AVX-512.
    wide: [f64; 2],
    /// The most vectors stored to the stack: the 16 registers of AVX2 do not hold everything.
    spills: [usize; 2],
    /// Whether a loop of permutations and additions adds up lanes in the end.
    adds_up: bool,
}

/// Checks of overflow and indices cost a debug build registers and instructions: it is held to widths, gathers and
/// permutations, and to a part of the share of fused operations. `cargo test --release --test machine_code` reads
/// what users run.
const STRICT: bool = !cfg!(debug_assertions);

/// A kernel of plain loops; AVX-512 has registers for all of it.
const fn loops(name: &'static str, spills: usize) -> Kernel {
    Kernel { name, fused: [0.0; 2], wide: [1.0; 2], spills: [spills, 0], adds_up: false }
}

/// A kernel that is nothing but fused multiply-adds.
const fn fused(name: &'static str, fused: [f64; 2]) -> Kernel {
    Kernel { name, fused, wide: [1.0; 2], spills: [0; 2], adds_up: false }
}

/// Both products of packed matrices.
const PRODUCTS: [Kernel; 2] = [
    fused("engine::packed_gemm::product::product", [0.4, 0.45]),
    fused("engine::packed_gemm::outer::outer", [0.3, 0.35]),
];

/// In `speed`, in single precision.
const IN_SPEED: &[Kernel] = &[
    // A sum over weighted neighbours, and the stages of a Runge-Kutta step on a graph. The reverse stage adds its
    // inner products in parts of eight numbers, which is the width of AVX2.
    fused("engine::sparse::kernels::weighted_sum", [0.2, 0.1]),
    fused("engine::ops::edge::spmm::rk4::stage_of", [0.3, 0.18]),
    Kernel { wide: [1.0, 0.3], ..fused("engine::ops::edge::spmm::rk4::reverse_stage_of", [0.3, 0.3]) },
    loops("engine::ops::linear::bias_activation", 6),
    loops("engine::optim::adam::update", 0),
    // EGNN's passes.
    loops("models::score::egnn::kernels::add_bias", 0),
    loops("models::score::egnn::kernels::add_columns", 0),
    loops("models::score::egnn::kernels::first", 0),
    loops("models::score::egnn::kernels::first_again", 0),
    loops("models::score::egnn::kernels::gate", 2),
    loops("models::score::egnn::kernels::gated", 4),
    loops("models::score::egnn::kernels::gate_back", 0),
    loops("models::score::egnn::kernels::weigh", 4),
    loops("models::score::egnn::kernels::weigh_back", 8),
    loops("models::score::egnn::kernels::hear", 0),
    loops("models::score::egnn::kernels::hear_back", 0),
    Kernel { adds_up: true, ..loops("models::score::egnn::kernels::spread", 0) },
    loops("models::score::egnn::update::activate", 4),
    loops("models::score::egnn::update::activate_back", 0),
    // Mixtures and pair energies.
    loops("models::target::mixture_kernel::planar", 8),
    loops("models::target::mixture_kernel::exp_sum", 0),
    loops("models::target::mixture_kernel::finish", 0),
    loops("models::target::pair_energy::chunk", 24),
];

/// In `sample`: the proposal's density.
const IN_SAMPLE: &[Kernel] = &[
    loops("models::sampler::iwsm::proposal::add_square", 0),
    loops("models::sampler::iwsm::proposal::scale_max", 0),
    // Its 32 sums lie in memory, where the exponentials leave time to fetch them.
    Kernel { spills: [8, 4], ..loops("models::sampler::iwsm::proposal::exp_sum", 0) },
];

/// Instructions of an inner loop, by kind.
#[derive(Clone, Debug, Default)]
struct Loop {
    all: usize,
    fused: usize,
    /// Arithmetic on vectors of 16, 32 and 64 bytes.
    arithmetic: [usize; 3],
    gathers: usize,
    permutations: usize,
    /// Vectors stored to the stack.
    spills: usize,
    calls: usize,
}

impl Loop {
    fn read(code: &[(u64, String)]) -> Self {
        let mut l = Self { all: code.len(), ..Self::default() };
        for (_, text) in code {
            let (name, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let has = |parts: &[&str]| parts.iter().any(|p| name.contains(p));
            let vector = name.starts_with('v');
            let fused = vector && has(&["fmadd", "fmsub", "fnmadd", "fnmsub"]);
            let packed = name.ends_with("ps") || name.ends_with("pd");
            if vector && packed && (fused || has(&["add", "sub", "mul", "div", "sqrt", "min", "max"])) {
                let width =
                    if operands.contains("%zmm") { 2 } else { usize::from(operands.contains("%ymm")) };
                l.arithmetic[width] += 1;
                l.fused += usize::from(fused);
            }
            l.gathers += usize::from(has(&["gather", "scatter"]));
            l.permutations += usize::from(
                vector
                    && has(&[
                        "vperm", "vshuf", "vunpck", "vinsert", "vextract", "align", "vmovlhps", "vmovhlps",
                    ]),
            );
            l.spills += usize::from(name.starts_with("vmov") && operands.ends_with("(%rsp)"));
            l.calls += usize::from(name == "call");
        }
        l
    }

    fn total(&self) -> usize {
        self.arithmetic.iter().sum()
    }
}

/// The inner loops of a function: from the target of a jump back to that jump, with no such jump in between.
fn inner_loops(code: &[(u64, String)]) -> Vec<Loop> {
    let at: HashMap<u64, usize> = code.iter().enumerate().map(|(k, (address, _))| (*address, k)).collect();
    let mut jumps: Vec<(usize, usize)> = Vec::new();
    for (k, (_, text)) in code.iter().enumerate() {
        let mut words = text.split_whitespace();
        if words.next().is_some_and(|name| name.starts_with('j')) {
            let target = words.next().and_then(|t| u64::from_str_radix(t, 16).ok());
            jumps.extend(target.and_then(|t| at.get(&t)).filter(|t| **t <= k).map(|t| (*t, k)));
        }
    }
    jumps.sort_unstable();
    jumps.dedup();
    let inner = |(a, b): &&(usize, usize)| !jumps.iter().any(|o| o != &(*a, *b) && o.0 >= *a && o.1 <= *b);
    jumps.iter().filter(inner).map(|(a, b)| Loop::read(&code[*a..=*b])).collect()
}

/// A function's name and its instructions by address.
type Function = (String, Vec<(u64, String)>);

/// The code of every function at a SIMD level, by name; None without objdump.
fn functions(binary: &str) -> Option<Vec<Function>> {
    let mut objdump = Command::new("objdump");
    objdump.args(["-d", "-C", "--no-show-raw-insn", binary]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = objdump.spawn().ok()?;
    let mut functions: Vec<Function> = Vec::new();
    let mut wanted = false;
    for line in BufReader::new(child.stdout.take()?).split(b'\n') {
        let line = String::from_utf8_lossy(&line.ok()?).into_owned();
        if let Some((_, name)) = line.split_once(" <").filter(|_| line.ends_with(">:")) {
            let name = name.trim_end_matches(">:");
            wanted = name.ends_with("avx2") || name.ends_with("avx512");
            if wanted {
                functions.push((name.to_string(), Vec::new()));
            }
        } else if let Some((address, text)) = line.split_once(":\t").filter(|_| wanted) {
            let address = u64::from_str_radix(address.trim(), 16).ok()?;
            functions.last_mut()?.1.push((address, text.trim().to_string()));
        }
    }
    child.wait().ok().filter(|s| s.success()).map(|_| functions)
}

/// What is wrong with a function, if anything.
fn fault(kernel: &Kernel, level: usize, code: &[(u64, String)]) -> Option<String> {
    let wide = |l: &Loop| l.arithmetic[level + 1] as f64 >= kernel.wide[level] * l.total().max(1) as f64;
    let mut loops = inner_loops(code);
    loops.retain(|l| !(kernel.adds_up && l.fused == 0 && l.permutations > 0));
    if let Some(l) = loops.iter().find(|l| l.gathers > 0) {
        return Some(format!("gathers: {l:?}"));
    }
    // A narrower loop for what is left over has no more arithmetic.
    let longest = loops.iter().map(|l| (l.total(), l.fused)).max().unwrap_or_default();
    let mut main: Vec<Loop> =
        loops.iter().filter(|l| (l.total(), l.fused) == longest && wide(l)).cloned().collect();
    if main.is_empty() {
        // Of a short loop whose length is bounded the compiler may leave nothing but its rounds one by one.
        let whole = Loop::read(code);
        if whole.arithmetic[level + 1] < 4 * longest.0.max(1) {
            return Some(format!("no loop of {} operations is as wide as it could be: {loops:?}", longest.0));
        }
        main.push(whole);
    }
    main.into_iter().find_map(|l| {
        let bad = l.permutations > 0
            || l.calls > 0
            || l.gathers > 0
            || STRICT && l.spills > kernel.spills[level]
            || (l.fused as f64) < kernel.fused[level] * if STRICT { 1.0 } else { 0.45 } * l.all as f64;
        bad.then(|| format!("{l:?}"))
    })
}

/// Checks kernels in a binary; None without objdump.
fn check(binary: &str, kernels: &[Kernel], instances: usize) -> Option<Vec<String>> {
    let functions = functions(binary)?;
    let mut faults = Vec::new();
    for kernel in kernels {
        for (level, suffix) in ["avx2", "avx512"].into_iter().enumerate() {
            let name = |sep: &str| format!("{}{sep}{suffix}", kernel.name);
            let names = [name("::"), name("_")];
            let found: Vec<_> = functions.iter().filter(|(name, _)| names.contains(name)).collect();
            if found.len() < instances {
                faults.push(format!(
                    "{} at {suffix}: {} of {instances} in {binary}",
                    kernel.name,
                    found.len()
                ));
            }
            for (_, code) in found {
                let fault = fault(kernel, level, code);
                faults.extend(fault.map(|f| format!("{} at {suffix}: {f}", kernel.name)));
            }
        }
    }
    Some(faults)
}

fn assert_clean(binary: &str, kernels: &[Kernel], instances: usize) {
    match check(binary, kernels, instances) {
        None => println!("SKIPPED: objdump (binutils) is missing, so the compiled kernels were not read"),
        Some(faults) => assert!(faults.is_empty(), "{}", faults.join("\n")),
    }
}

/// The products in double precision too, which no binary uses.
#[test]
fn products_of_packed_matrices_are_fused_multiply_adds() {
    let (w, x) = ([[1.0_f64; LANES]; 2], [1.0, 2.0, 3.0, 4.0]);
    let x = Operand::columns(View { data: &x, shape: Shape::new(2, 2) });
    let mut out = [[0.0; LANES]; 2];
    product(&w, x, Output::panels(&mut out, 2, false));
    outer(&w, x, &mut out);
    assert_eq!(out[0][0], 3.0 + (1.0 + 3.0));
    let this = std::env::current_exe().unwrap();
    assert_clean(this.to_str().unwrap(), &PRODUCTS, 1);
    assert_clean(env!("CARGO_BIN_EXE_speed"), &PRODUCTS, 1);
}

#[test]
fn kernels_of_the_workloads_are_full_vectors() {
    assert_clean(env!("CARGO_BIN_EXE_speed"), IN_SPEED, 1);
}

#[test]
fn the_density_of_proposals_is_full_vectors() {
    assert_clean(env!("CARGO_BIN_EXE_sample"), IN_SAMPLE, 1);
}

/// The judge itself, on code that is and is not as it should be.
#[test]
fn faults_of_a_loop_are_seen() {
    let kernel = fused("kernel", [0.3, 0.3]);
    let judge = |lines: &[&str]| {
        let code: Vec<(u64, String)> = (16..).zip(lines.iter().map(|l| l.to_string())).collect();
        fault(&kernel, 1, &code)
    };
    let good = ["vbroadcastss (%rax),%zmm2", "vfmadd231ps %zmm2,%zmm1,%zmm0", "jne 10 <kernel+0x10>"];
    assert_eq!(judge(&good), None);
    let with = |line: &'static str| judge(&[good[0], good[1], line, good[2]]);
    assert_eq!(with("vmovaps %zmm0,0x40(%rsp)").is_some(), STRICT, "a sum on the stack");
    assert!(with("vpermps %zmm0,%zmm1,%zmm2").is_some(), "a permutation");
    assert!(with("vgatherdps (%rax,%zmm1,4),%zmm2{%k1}").is_some(), "a gather");
    assert!(with("vaddps %ymm0,%ymm1,%ymm2").is_some(), "half a vector");
    assert!(with("call 100 <panic>").is_some(), "a call");
    assert!(judge(&["vaddps %zmm0,%zmm1,%zmm2", "jne 10 <kernel+0x10>"]).is_some(), "nothing fused");
    assert!(judge(&["ret"]).is_some(), "no arithmetic");
}
