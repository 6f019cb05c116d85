//! A workload at every SIMD level of this CPU, in turns, and whether a higher level is slower than a lower one.

use std::time::{Duration, Instant};

use engine::simd::{Level, level, set_level};

use super::Step;

/// The least time spent on untimed steps.
const WARM_UP: Duration = Duration::from_millis(300);
/// A level that took longer than this is timed no more: the baseline computes fused products in software.
const ENOUGH_MS: f64 = 2000.0;
/// A higher level may take so many times what a lower one takes. The same kernels of `spmm`, which memory bounds, took
/// 0.98 and 1.05 times with AVX-512 what they took with AVX2 in two builds whose buffers lie in other pages; a level that
/// a compiler has spoilt takes several times as long.
const TOLERANCE: f64 = 1.1;

/// The milliseconds of each step at one level.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The level.
    pub level: Level,
    /// A step of each round, until the level has taken its time.
    pub ms: Vec<f64>,
}

/// Times `step` at every level that the CPU has, one after the other in each of `rounds` rounds, in every other one
/// backwards: a step that follows a slow one finds another cache and another clock. All levels give the same numbers, so
/// one workload serves them all. The level in use is the same afterwards.
pub fn time(step: &mut Step, rounds: u32) -> Vec<Timing> {
    let before = level();
    let has = |level: &Level| set_level(*level) == *level;
    let mut timings: Vec<Timing> =
        Level::ALL.into_iter().filter(has).map(|level| Timing { level, ms: Vec::new() }).collect();
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        step(); // At the highest level, the last that was set.
    }
    for _ in 0..rounds {
        timings.reverse();
        for timing in timings.iter_mut().filter(|t| t.ms.iter().sum::<f64>() < ENOUGH_MS) {
            set_level(timing.level);
            let start = Instant::now();
            step();
            timing.ms.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    set_level(before);
    timings.sort_by_key(|timing| Level::ALL.iter().position(|level| *level == timing.level));
    timings
}

/// A lower and a higher level of which the higher takes longer, with the factor, by the median of the ratios of
/// steps of the same round and by the shortest steps as well: other programs rarely disturb both.
pub fn inversion(timings: &[Timing]) -> Option<(Level, Level, f64)> {
    let pairs = (0..timings.len()).flat_map(|high| (0..high).map(move |low| (low, high)));
    pairs
        .map(|(low, high)| {
            let (low, high) = (&timings[low], &timings[high]);
            let ratios = high.ms.iter().zip(&low.ms).map(|(high, low)| high / low).collect();
            (low.level, high.level, median(ratios).min(least(&high.ms) / least(&low.ms)))
        })
        .find(|(.., factor)| *factor > TOLERANCE)
}

/// The middle of some numbers; NaN of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The least of some numbers.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timings(ms: [&[f64]; 3]) -> Vec<Timing> {
        Level::ALL.into_iter().zip(ms).map(|(level, ms)| Timing { level, ms: ms.to_vec() }).collect()
    }

    #[test]
    fn a_slow_higher_level_is_found() {
        let t = timings([&[50.0], &[10.0, 11.0, 10.0], &[13.0, 12.0, 14.0]]);
        let (low, high, factor) = inversion(&t).unwrap();
        assert_eq!((low, high), (Level::Avx2, Level::Avx512));
        assert!((factor - 1.2).abs() < 1e-12, "{factor}");
    }

    #[test]
    fn a_disturbed_step_or_a_small_difference_is_none() {
        // Once the ratios are large and the shortest steps equal, once a single step is short, once 8 % are missing.
        assert!(inversion(&timings([&[50.0], &[10.0, 10.0, 10.0], &[30.0, 30.0, 10.0]])).is_none());
        assert!(inversion(&timings([&[50.0], &[5.0, 12.0, 12.0], &[12.0, 12.0, 12.0]])).is_none());
        assert!(inversion(&timings([&[50.0], &[10.0; 5], &[10.8; 5]])).is_none());
    }

    #[test]
    fn every_level_is_timed_and_the_level_stays() {
        let before = level();
        let mut step: Step = Box::new(|| std::thread::sleep(Duration::from_millis(1)));
        let timings = time(&mut step, 3);
        assert!(!timings.is_empty() && timings.iter().all(|t| t.ms.len() == 3 && least(&t.ms) >= 1.0));
        assert!(
            timings.iter().zip(Level::ALL).all(|(timing, level)| timing.level == level),
            "lower ones first"
        );
        assert_eq!(level(), before);
    }
}
