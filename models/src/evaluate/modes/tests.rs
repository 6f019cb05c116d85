use engine::rng::Stream;

use super::*;
use crate::evaluate::exact_samples;
use crate::target::{Double, DoubleWell, LennardJones, Mixture, Pointwise, UniformBox, two_wells};

fn found(target: &dyn Target<f64>, samples: &[f64], log_w: &[f64], descents: usize) -> ModesFound {
    find(target, &Search { samples, log_w, chains: None, descents, seed: 1 }).unwrap()
}

/// n samples of the standard Gaussian in R^d.
fn normal(n: usize, d: usize, seed: u64) -> Vec<f64> {
    let mut x = vec![0.0; n * d];
    Stream::new(seed, "test", 0, 0).fill_normal(&mut x);
    x
}

#[test]
fn a_gaussian_has_one_mode_whatever_its_axes() {
    // Widths from 0.01 to 100, turned by 0.5 in the planes of neighbours.
    let widths: Vec<f64> = (0..8).map(|a| 10f64.powf(a as f64 * 4.0 / 7.0 - 2.0)).collect();
    let turn = |x: &mut [f64], by: f64| {
        for a in 0..7 {
            let (u, v) = (x[a], x[a + 1]);
            (x[a], x[a + 1]) = (by.cos() * u - by.sin() * v, by.sin() * u + by.cos() * v);
        }
    };
    let back = |x: &mut [f64], by: f64| {
        for a in (0..7).rev() {
            let (u, v) = (x[a], x[a + 1]);
            (x[a], x[a + 1]) = (by.cos() * u + by.sin() * v, -by.sin() * u + by.cos() * v);
        }
    };
    let own = widths.clone();
    let target = Pointwise::new(8, move |x: &[f64], g: &mut [f64]| {
        let mut z: Vec<f64> = x.iter().map(|x| x - 3.0).collect();
        back(&mut z, 0.5);
        let energy = z.iter().zip(&own).map(|(z, w)| 0.5 * (z / w).powi(2)).sum();
        z.iter_mut().zip(&own).for_each(|(z, w)| *z /= w * w);
        turn(&mut z, 0.5);
        g.copy_from_slice(&z);
        energy
    });
    let mut x = normal(300, 8, 1);
    for x in x.chunks_exact_mut(8) {
        x.iter_mut().zip(&widths).for_each(|(x, w)| *x *= w);
        turn(x, 0.5);
        x.iter_mut().for_each(|x| *x += 3.0);
    }
    let found = found(&target, &x, &[], 200);
    assert_eq!((found.modes.len(), found.descents, found.unfinished), (1, 200, 0), "{found:?}");
    let mode = &found.modes[0];
    assert_eq!((mode.share.weight, mode.share.free_energy, mode.raw, mode.samples), (1.0, 0.0, 1.0, 200));
    assert!(mode.energy < 1e-6 && found.unseen == 0.0 && found.effective == 200.0);
    assert!(mode.centre.iter().all(|c| (c - 3.0).abs() < 0.02), "{:?}", mode.centre);
    assert!(found.evaluations < 200 * 60, "{}", found.evaluations);
}

#[test]
fn two_wells_have_their_weights_widths_and_free_energies() {
    let target = two_wells(6, 0.875, [0.24, 0.3], 4.0).unwrap();
    let x = exact_samples(&target, 3000, 5, 0).unwrap();
    let found = found(&target, &x, &[], 2000);
    assert_eq!((found.modes.len(), found.unfinished), (2, 0));
    let [a, b] = &found.modes[..] else { unreachable!() };
    let error = (0.875 * 0.125 / 1999.0_f64).sqrt();
    assert!((a.share.weight - 0.875).abs() < 4.0 * error, "{}", a.share.weight);
    assert!((a.share.weight_error / error - 1.0).abs() < 0.1, "{} {error}", a.share.weight_error);
    let known = -(0.125_f64 / 0.875).ln();
    let off = (b.share.free_energy - known) / b.share.free_energy_error;
    assert!(off.abs() < 4.0, "{:?}", b.share);
    // se(log r) of a ratio of two shares of n: 1 / sqrt(n p q).
    let want = 1.0 / (2000.0_f64 * 0.875 * 0.125).sqrt();
    assert!((b.share.free_energy_error / want - 1.0).abs() < 0.1, "{:?} {want}", b.share);
    for (mode, width, centre) in [(a, 0.24, 2.0 / 6f64.sqrt()), (b, 0.3, -2.0 / 6f64.sqrt())] {
        assert!(mode.centre.iter().all(|c| (c - centre).abs() < 1e-3), "{:?}", mode.centre);
        assert!(mode.widths.iter().all(|w| (w / width - 1.0).abs() < 0.2), "{:?}", mode.widths);
        assert!((mode.share.weight - mode.raw).abs() < 1e-12);
    }
}

#[test]
fn weights_give_the_shares_of_the_target_and_not_of_the_samples() {
    let target = two_wells(2, 0.875, [0.24, 0.3], 4.0).unwrap();
    let from = two_wells(2, 0.5, [0.3, 0.36], 4.0).unwrap();
    let x = exact_samples(&from, 2000, 5, 0).unwrap();
    let (mut p, mut q) = (vec![0.0; 2000], vec![0.0; 2000]);
    target.evaluate(&x, &mut p, &mut []).unwrap();
    from.evaluate(&x, &mut q, &mut []).unwrap();
    let log_w: Vec<f64> = p.iter().zip(&q).map(|(p, q)| p - q + 1000.0).collect();
    let found = found(&target, &x, &log_w, 1500);
    let first = &found.modes[0];
    assert!((first.raw - 0.5).abs() < 0.06, "{}", first.raw);
    assert!((first.share.weight - 0.875).abs() < 4.0 * first.share.weight_error, "{:?}", first.share);
    assert!(first.share.weight_error < 0.02 && found.effective < 1500.0 && found.effective > 400.0);
    // Weights are those of the whole, whatever is added to their logarithms.
    assert!(first.widths.iter().all(|w| (w / 0.24 - 1.0).abs() < 0.1), "{:?}", first.widths);
}

#[test]
fn all_maxima_of_gmm40_are_found() {
    let target = Mixture::gmm40();
    let x = exact_samples(&target, 5000, 3, 0).unwrap();
    let found = found(&target, &x, &[], 1000);
    // Four pairs of the 40 means are so near each other that their sum has one maximum: known from the means themselves.
    let of_means = descend(&target, target.means()).unwrap();
    let mut distinct: Vec<&[f64]> = Vec::new();
    for end in of_means.states.chunks_exact(2) {
        if distinct.iter().all(|known| (known[0] - end[0]).hypot(known[1] - end[1]) > 0.1) {
            distinct.push(end);
        }
    }
    assert_eq!((distinct.len(), found.modes.len(), found.unfinished), (36, 36, 0));
    for end in distinct {
        let near = |m: &&Mode| (m.centre[0] - end[0]).hypot(m.centre[1] - end[1]) < 0.01;
        assert_eq!(found.modes.iter().filter(near).count(), 1, "{end:?}");
    }
    // The weights of 40 components, some of them two in one mode.
    assert!(found.modes.iter().all(|m| m.share.weight > 0.01 && m.share.weight < 0.1));
    assert!(found.evaluations < 40_000, "{}", found.evaluations);
}

#[test]
fn a_mode_of_one_sample_is_a_mode() {
    let target = two_wells(2, 0.5, [0.3, 0.3], 10.0).unwrap();
    let mut x = exact_samples(&target, 400, 3, 0).unwrap();
    // All in one well but the last.
    x.iter_mut().for_each(|v| *v = v.abs());
    x[798..].iter_mut().for_each(|v| *v = -*v);
    let found = found(&target, &x, &[], 400);
    assert_eq!(found.modes.iter().map(|m| m.samples).collect::<Vec<_>>(), [399, 1]);
    let alone = &found.modes[1];
    assert!((alone.share.weight - 0.0025).abs() < 1e-12 && (found.unseen - 0.0025).abs() < 1e-12);
    assert!((alone.share.weight_error - 0.0025).abs() < 1e-4, "{:?}", alone.share);
    assert!((alone.share.free_energy - 399f64.ln()).abs() < 1e-9);
    assert!((alone.share.free_energy_error - 1.0).abs() < 0.01);
    assert!(alone.widths.iter().all(|w| w.is_nan()));
}

#[test]
fn chains_that_do_not_cross_count_as_so_many_samples() {
    let target = two_wells(1, 0.5, [0.3, 0.3], 6.0).unwrap();
    // 20 chains of 50 states, 12 of them in the right well for ever.
    let x: Vec<f64> = (0..1000).map(|i| if i % 20 < 12 { 3.0 } else { -3.0 }).collect();
    let search = Search { samples: &x, log_w: &[], chains: Some(20), descents: 1000, seed: 1 };
    let found = find(&target, &search).unwrap();
    let want = (0.6 * 0.4 / 19.0_f64).sqrt();
    assert_eq!(found.modes[0].share.weight, 0.6);
    assert!((found.modes[0].share.weight_error / want - 1.0).abs() < 1e-9, "{:?}", found.modes[0].share);
    let one = find(&target, &Search { chains: Some(1), ..search }).unwrap();
    assert!(one.modes[0].share.weight_error.is_nan());
}

#[test]
fn a_ring_a_plateau_and_a_wall_are_one_mode_each() {
    let ring = Pointwise::new(2, |x: &[f64], g: &mut [f64]| {
        let r = x[0].hypot(x[1]).max(1e-9);
        g.copy_from_slice(&[4.0 * (r - 3.0) * x[0] / r, 4.0 * (r - 3.0) * x[1] / r]);
        2.0 * (r - 3.0).powi(2)
    });
    let x: Vec<f64> = normal(300, 2, 4)
        .chunks_exact(2)
        .flat_map(|x| {
            let r = x[0].hypot(x[1]);
            [x[0] * 3.0 / r + 0.1 * x[1], x[1] * 3.0 / r]
        })
        .collect();
    assert_eq!(found(&ring, &x, &[], 300).modes.len(), 1);
    let plateau = UniformBox { dim: 3 };
    let x = exact_samples(&plateau, 200, 1, 0).unwrap();
    assert_eq!(found(&plateau, &x, &[], 200).modes.len(), 1);
    // exp(-x - 5 y) on the positive quadrant: its lowest energy lies at the corner, which has no gradient of 0.
    let wall = Pointwise::new(2, |x: &[f64], g: &mut [f64]| {
        g.copy_from_slice(&[1.0, 5.0]);
        if x.iter().all(|x| *x >= 0.0) { x[0] + 5.0 * x[1] } else { f64::INFINITY }
    });
    let x: Vec<f64> =
        normal(200, 2, 2).chunks_exact(2).flat_map(|x| [x[0].abs(), x[1].abs() / 5.0]).collect();
    let at_wall = found(&wall, &x, &[], 200);
    assert_eq!((at_wall.modes.len(), at_wall.descents), (1, 200));
    // Where some samples lie outside the support, they are in no mode.
    let outside = found(&wall, &[&x[..], &[-1.0, 1.0]].concat(), &[], 201);
    assert_eq!((outside.modes.len(), outside.descents), (1, 200));
    assert_eq!(found(&wall, &[-1.0, 1.0], &[], 5).modes, []);
}

#[test]
fn a_narrow_mode_beside_a_wide_one_gets_its_samples() {
    // The nearest centre would give a fifth of the wide mode's samples to the narrow one.
    let target = Mixture::new(2, vec![0.0, 0.0, 6.0, 0.0], vec![2.5, 0.05], vec![0.7, 0.3]).unwrap();
    let x = exact_samples(&target, 1000, 3, 0).unwrap();
    let found = found(&target, &x, &[], 1000);
    assert_eq!(found.modes.len(), 2);
    assert!((found.modes[0].share.weight - 0.7).abs() < 0.06, "{:?}", found.modes);
    assert!((found.modes[1].widths[0] / 0.05 - 1.0).abs() < 0.2, "{:?}", found.modes[1]);
}

#[test]
fn minima_of_particles_are_one_whatever_their_rotation_and_order() {
    let target: &dyn Target<f64> = &LennardJones::lj13();
    let mut x = vec![0.0; 39 * 20];
    target.geometry().fill_normal(&mut Stream::new(1, "states", 0, 0), &mut x);
    // From one minimum, turned, reflected and in another order, all come back to it.
    let low = descend(target, &x).unwrap();
    let best = (0..20).min_by(|a, b| low.energies[*a].total_cmp(&low.energies[*b])).unwrap();
    let best = &low.states[39 * best..39 * (best + 1)];
    let mut copies = best.to_vec();
    copies.extend(best.chunks_exact(3).rev().flat_map(|p| [p[1], -p[0], -p[2]]));
    let noise = normal(2, 39, 9);
    copies.iter_mut().zip(&noise).for_each(|(x, z)| *x += 0.005 * z);
    target.geometry().project(&mut copies);
    let found = found(target, &copies, &[], 2);
    assert_eq!((found.modes.len(), found.unfinished), (1, 0), "{found:?}");
    assert!(found.modes[0].widths.is_empty());
    let four = DoubleWell::dw4();
    let mut x = vec![0.0; 8 * 200];
    Target::<f64>::geometry(&four).fill_normal(&mut Stream::new(1, "states", 0, 0), &mut x);
    x.iter_mut().for_each(|v| *v *= 2.0);
    let few = find(&four, &Search { samples: &x, log_w: &[], chains: None, descents: 200, seed: 1 }).unwrap();
    assert!((2..10).contains(&few.modes.len()), "{}", few.modes.len());
}

#[test]
fn an_energy_that_breaks_is_an_error() {
    let broken = Double(Pointwise::new(1, |x: &[f64], g: &mut [f64]| {
        g[0] = 2.0 * x[0];
        if x[0].abs() < 0.5 { f64::NAN } else { x[0] * x[0] }
    }));
    let search = Search { samples: &[1.0, 2.0], log_w: &[], chains: None, descents: 2, seed: 0 };
    assert!(find(&broken, &search).unwrap_err().to_string().contains("the energy is NaN"));
}
