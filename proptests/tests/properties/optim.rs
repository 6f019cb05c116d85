//! Adam, clipping and averaging against their plain definitions, for any size and thread count.

use engine::Real;
use engine::optim::{Adam, Adamax, Ema, clip_by_norm};
use engine::parallel::CHUNK;
use proptest::prelude::*;

use crate::cases::cases;

/// Lengths around the SIMD widths, and around the chunks of the parallel loops.
fn len() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..70usize, 1 => (0..3usize, 0..20usize).prop_map(|(n, more)| n * CHUNK + more)]
}

/// Numbers of many sizes that are a function of (seed, i).
fn values<T: Real>(seed: u64, len: usize) -> Vec<T> {
    let mix = |i: usize| {
        (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed.wrapping_mul(0xd6e8_feb8_6659_fd93)
    };
    let unit = |i| f64::unit_from_bits(mix(i).wrapping_mul(0xbf58_476d_1ce4_e5b9));
    (0..len).map(|i| T::of((unit(2 * i) - 0.5) * (12.0 * (unit(2 * i + 1) - 0.5)).exp())).collect()
}

fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

fn bits<T: Real>(x: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    T::append_bytes(x, &mut bytes);
    bytes
}

/// Kingma and Ba, algorithm 1, and the decoupled decay, one f64 number after the other.
fn reference(adam: &Adam<f64>, w: &mut [f64], steps: &[Vec<f64>], lr: f64) {
    for (i, w) in w.iter_mut().enumerate() {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in steps.iter().enumerate() {
            let (g, t) = (g[i], t as i32 + 1);
            m = adam.beta1 * m + (1.0 - adam.beta1) * g;
            v = adam.beta2 * v + (1.0 - adam.beta2) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - adam.beta1.powi(t)), v / (1.0 - adam.beta2.powi(t)));
            *w -= lr * (m_hat / (v_hat.sqrt() + adam.eps) + adam.weight_decay * *w);
        }
    }
}

fn run<T: Real>(mut adam: Adam<T>, w: &[T], steps: &[Vec<T>], lr: f64) -> Vec<T> {
    let mut w = w.to_vec();
    steps.iter().for_each(|g| adam.step(&mut w, g, lr));
    w
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn adam_is_its_scalar_definition(
        len in len(), seed: u64, beta1 in 0.0..0.99, beta2 in 0.5..0.9999, decay in 0.0..0.3, lr in 1e-4..0.1,
    ) {
        let adam = Adam { beta1, beta2, weight_decay: decay, ..Adam::new(len) };
        let w = values::<f64>(seed, len);
        let steps: Vec<_> = (1..6).map(|t| values::<f64>(seed ^ t, len)).collect();
        let mut want = w.clone();
        reference(&adam, &mut want, &steps, lr);
        for (i, (got, want)) in run(adam, &w, &steps, lr).iter().zip(&want).enumerate() {
            prop_assert!((got - want).abs() <= 1e-12 * want.abs().max(lr), "at {i}: {got} is not {want}");
        }
    }

    /// Algorithm 2, one number after the other.
    #[test]
    fn adamax_is_its_scalar_definition(len in 0..70usize, seed: u64, beta1 in 0.0..0.99, beta2 in 0.5..0.9999) {
        let mut adamax = Adamax { beta1, beta2, ..Adamax::new(len) };
        let w = values::<f64>(seed, len);
        let steps: Vec<_> = (1..6).map(|t| values::<f64>(seed ^ t, len)).collect();
        let mut got = w.clone();
        steps.iter().for_each(|g| adamax.step(&mut got, g, 0.01));
        for (i, got) in got.iter().enumerate() {
            let (mut m, mut u, mut want) = (0.0, 0.0_f64, w[i]);
            for (t, g) in steps.iter().enumerate() {
                m = beta1 * m + (1.0 - beta1) * g[i];
                u = (beta2 * u).max(g[i].abs() + 1e-8);
                want -= 0.01 / (1.0 - beta1.powi(t as i32 + 1)) * m / u;
            }
            prop_assert!((got - want).abs() <= 1e-12 * want.abs().max(0.01), "at {i}: {got} is not {want}");
        }
    }

    #[test]
    fn adam_in_single_precision_follows_double_precision(len in len(), seed: u64) {
        let (w, g) = (values::<f32>(seed, len), values::<f32>(!seed, len));
        let wide = |x: &[f32]| x.iter().map(|x| x.f64()).collect::<Vec<_>>();
        let single = run(Adam::new(len), &w, &[g.clone(), g.clone()], 0.01);
        let double = run(Adam::new(len), &wide(&w), &[wide(&g), wide(&g)], 0.01);
        for (single, double) in single.iter().zip(double) {
            prop_assert!((single.f64() - double).abs() < 1e-6 * double.abs().max(1.0));
        }
    }

    #[test]
    fn threads_change_no_bit(len in len(), seed: u64, max_norm in 0.1..10.0) {
        let [one, two] = [1, 2].map(|threads| {
            on_threads(threads, || {
                let mut w = values::<f32>(seed, len);
                let (mut adam, mut ema) = (Adam::new(len), Ema::new(&w, 0.99));
                let mut norms = Vec::new();
                for t in 1..4 {
                    let mut g = values::<f32>(seed ^ t, len);
                    norms.push(clip_by_norm(&mut g, max_norm));
                    adam.step(&mut w, &g, 0.01);
                    ema.update(&w);
                }
                (bits(&w), bits(&adam.m), bits(&adam.v), bits(ema.values()), bits(&norms))
            })
        });
        prop_assert!(one == two);
    }

    #[test]
    fn clipping_keeps_the_direction_and_bounds_the_norm(len in len(), seed: u64, max_norm in 1e-3..1e3) {
        let before = values::<f64>(seed, len);
        let mut after = before.clone();
        let norm = clip_by_norm(&mut after, max_norm);
        let plain = before.iter().map(|g| g * g).sum::<f64>().sqrt();
        prop_assert!((norm - plain).abs() <= 1e-12 * plain);
        prop_assert!(clip_by_norm(&mut after.clone(), f64::INFINITY) <= max_norm * (1.0 + 1e-12));
        let factor = (max_norm / norm).min(1.0);
        for (after, before) in after.iter().zip(&before) {
            prop_assert!((after - factor * before).abs() <= 1e-15 * before.abs());
        }
    }

    #[test]
    fn an_average_stays_between_its_weights(len in len(), seed: u64, decay in 0.0..1.0) {
        let [a, b] = [values::<f32>(seed, len), values::<f32>(!seed, len)];
        let mut ema = Ema::new(&a, decay);
        for _ in 0..3 {
            ema.update(&b);
        }
        for ((average, a), b) in ema.values().iter().zip(&a).zip(&b) {
            let slack = 1e-6 * a.abs().max(b.abs());
            prop_assert!(*average >= a.min(*b) - slack && *average <= a.max(*b) + slack);
        }
    }
}
