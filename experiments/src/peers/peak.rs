//! What this machine can do at most, measured: fused multiply-adds in registers, and a triad through memory.

use std::time::Instant;

use engine::simd::{Level, level, round_by_round};
use engine::{Real, simd_fn};
use rayon::prelude::*;

use crate::workloads::cost::Cost;

/// Operations and bytes in a second, by all threads together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Floating-point operations in a second.
    pub flops: f64,
    /// Bytes in a second.
    pub bytes: f64,
}

impl Peak {
    /// The least milliseconds of a step, and what sets them.
    pub fn limit(self, cost: Cost) -> (f64, &'static str) {
        let (flops, bytes) = (cost.flops / self.flops * 1e3, cost.bytes / self.bytes * 1e3);
        if flops >= bytes { (flops, "flops") } else { (bytes, "bytes") }
    }
}

/// Repetitions, of which the fastest counts.
const TRIES: usize = 7;
/// Rounds of the loop in registers: some 10 or 20 ms.
const ROUNDS: usize = 5_000_000;
/// Chains of multiply-adds: two a cycle, each done after four or five cycles. With the two factors they fit the 16
/// registers of AVX2.
const CHAINS: usize = 12;
/// Numbers in each of the triad's three arrays: more than any cache holds.
const TRIAD: usize = 1 << 25;

simd_fn! {
    /// Fused multiply-adds in registers of 8 numbers.
    fn eights(sums: &mut [[f32; 8]; CHAINS], a: f32, b: f32, rounds: usize) {
        let mut own = *sums;
        for _ in 0..rounds {
            for chain in &mut own {
                for x in chain {
                    *x = x.mul_add(a, b);
                }
                round_by_round();
            }
        }
        *sums = own;
    }

    /// The same in registers of 16 numbers.
    fn sixteens(sums: &mut [[f32; 16]; CHAINS], a: f32, b: f32, rounds: usize) {
        let mut own = *sums;
        for _ in 0..rounds {
            for chain in &mut own {
                for x in chain {
                    *x = x.mul_add(a, b);
                }
                round_by_round();
            }
        }
        *sums = own;
    }

    /// Products and sums apart, where no instruction fuses them.
    fn apart(sums: &mut [[f32; 4]; CHAINS], a: f32, b: f32, rounds: usize) {
        let mut own = *sums;
        for _ in 0..rounds {
            for chain in &mut own {
                for x in chain {
                    *x = *x * a + b;
                }
                round_by_round();
            }
        }
        *sums = own;
    }

    fn triad<T: Real>(s: T, b: &[T], c: &[T], a: &mut [T]) {
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            *a = s.mul_add(*c, *b);
        }
    }
}

/// Runs the loop of this SIMD level; returns operations.
fn multiply_add(rounds: usize) -> f64 {
    use std::hint::black_box;
    let (a, b) = (black_box(0.999), black_box(0.001));
    let lanes = match level() {
        Level::Baseline => {
            let mut sums = [[1.0; 4]; CHAINS];
            apart(&mut sums, a, b, rounds);
            black_box(sums);
            4
        }
        Level::Avx2 => {
            let mut sums = [[1.0; 8]; CHAINS];
            eights(&mut sums, a, b, rounds);
            black_box(sums);
            8
        }
        Level::Avx512 => {
            let mut sums = [[1.0; 16]; CHAINS];
            sixteens(&mut sums, a, b, rounds);
            black_box(sums);
            16
        }
    };
    2.0 * (CHAINS * lanes * rounds) as f64
}

/// Measures on all threads of the pool, at the SIMD level in use.
pub fn measure() -> Peak {
    Peak { flops: flops(ROUNDS), bytes: bytes(TRIAD) }
}

/// `work` in a second, at the fastest of some tries.
fn fastest(mut work: impl FnMut() -> f64) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        let done = work();
        done / start.elapsed().as_secs_f64()
    };
    (0..TRIES).map(rate).fold(0.0, f64::max)
}

fn flops(rounds: usize) -> f64 {
    fastest(|| rayon::broadcast(|_| multiply_add(rounds)).iter().sum())
}

fn bytes(numbers: usize) -> f64 {
    const CHUNK: usize = 1 << 16;
    let (b, c, mut a) = (vec![1.0_f32; numbers], vec![2.0_f32; numbers], vec![0.0_f32; numbers]);
    fastest(|| {
        (a.par_chunks_mut(CHUNK), b.par_chunks(CHUNK), c.par_chunks(CHUNK))
            .into_par_iter()
            .for_each(|(a, b, c)| triad(3.0, b, c, a));
        (3 * size_of::<f32>() * numbers) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_those_of_some_machine() {
        let (flops, bytes) = (flops(10_000), bytes(1 << 16));
        assert!((1e8..1e16).contains(&flops), "{flops}");
        assert!((1e7..1e15).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_scarcer_of_both_is_the_limit() {
        let peak = Peak { flops: 1e9, bytes: 1e8 };
        assert_eq!(peak.limit(Cost { flops: 2e6, bytes: 1e5 }), (2.0, "flops"));
        assert_eq!(peak.limit(Cost { flops: 2e6, bytes: 1e6 }), (10.0, "bytes"));
    }
}
