use super::*;
use crate::sampler::{Method, MethodConfig};
use crate::target::{AnyTarget, Mixture, ParticleSystem, StudentT, Target, two_wells};

fn settings(scale: f64, change: impl FnOnce(&mut Config)) -> Settings {
    let mut sampler = Config { initial_scale: scale, particles: 128, moves: 2, ..Config::default() };
    change(&mut sampler);
    Settings { sampler }
}

fn run<'t>(
    settings: &Settings,
    target: &'t dyn AnyTarget,
    samples: usize,
    seed: u64,
) -> Box<dyn Sampler + 't> {
    let mut sampler = settings.build(target, samples, seed).unwrap();
    while sampler.done() < sampler.total() {
        sampler.step().unwrap();
    }
    sampler
}

fn log_z_of(sampler: &dyn Sampler) -> (f64, f64) {
    let z = sampler.diagnostics().log_z.unwrap();
    (z.value, z.error())
}

/// Means, the standard deviations of one run and the mean claimed errors of estimates of several runs.
fn over_runs(estimates: &[(f64, f64)]) -> (f64, f64, f64) {
    let (values, errors): (Vec<f64>, Vec<f64>) = estimates.iter().copied().unzip();
    (mean(&values), sd(&values), mean(&errors))
}

#[test]
fn an_off_centre_gaussian_has_its_moments_and_log_z() {
    let target = Mixture::new(3, vec![3.0, -1.0, 0.5], vec![0.4], vec![1.0]).unwrap();
    let sampler = run(&settings(1.5, |_| {}), &target, 4000, 1);
    let (log_z, error) = log_z_of(&*sampler);
    assert!(error < 0.05 && log_z.abs() < 5.0 * error, "{log_z} +- {error}");
    // The interval of eight populations, and their drift.
    let said = sampler.diagnostics();
    let of = |name: &str| said.lists.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    let drift = said.figures.iter().find(|(name, ..)| *name == "drift").unwrap().1;
    let scatter = crate::importance::log_z(&of("log_z")).1;
    let want = (2.3646 / 1.959_964 * scatter).hypot(drift);
    assert!((error / want - 1.0).abs() < 1e-3 && drift != 0.0, "{error} {want}");
    assert_eq!(sampler.diagnostics().failures, Vec::<String>::new());
    let x = sampler.draw(4000, 0, (0, 0)).unwrap();
    for (a, want) in [3.0, -1.0, 0.5].into_iter().enumerate() {
        let axis: Vec<f64> = x.iter().skip(a).step_by(3).copied().collect();
        // At least one in four samples is worth an independent one.
        assert!((mean(&axis) - want).abs() < 5.0 * 0.4 / 1000f64.sqrt(), "{a}: {}", mean(&axis));
        assert!((sd(&axis) / 0.4 - 1.0).abs() < 5.0 / 2000f64.sqrt(), "{a}: {}", sd(&axis));
    }
}

#[test]
fn shares_and_log_z_of_two_unequal_wells_are_right_within_their_errors() {
    // Hot states are in the narrow well in a proportion of 0.26 to 1, cold ones 7 to 1.
    let target = two_wells(6, 0.875, [0.24, 0.3], 4.0).unwrap();
    let settings = settings(0.9, |c| c.particles = 256);
    let (mut z, mut shares) = (Vec::new(), Vec::new());
    for seed in 0..16 {
        let sampler = run(&settings, &target, 2048, seed);
        z.push(log_z_of(&*sampler));
        let x = sampler.draw(2048, 0, (0, 0)).unwrap();
        shares.push((x.chunks(6).filter(|x| x.iter().sum::<f64>() < 0.0).count() as f64 / 2048.0, 0.0));
    }
    let (log_z, spread, claimed) = over_runs(&z);
    // The logarithm is low by half of the variance.
    let bias = 0.5 * spread * spread;
    assert!((log_z + bias).abs() < 4.0 * spread / 4.0 && spread < 0.15, "{log_z} {spread}");
    // The standard deviation of 16 runs is uncertain by a sixth, the error from 8 populations by a fourth of itself.
    assert!(claimed / spread > 0.5 && claimed / spread < 2.0, "{claimed} {spread}");
    let (share, spread, _) = over_runs(&shares);
    assert!((share - 0.125).abs() < 4.0 * spread / 4.0 && spread < 0.03, "{share} {spread}");
}

#[test]
fn mean_free_particles_have_the_log_z_of_their_subspace() {
    // A trap of variance 1/2 about the mean, on the 6 mean-free dimensions of 4 particles: Z = pi^3.
    struct Trap(ParticleSystem);
    impl<T: engine::Real> Target<T> for Trap {
        fn geometry(&self) -> crate::target::Geometry {
            self.0.into()
        }
        fn log_density_block(
            &self,
            n: usize,
            x: &[T],
            log_p: &mut [T],
            score: &mut [T],
            _: &mut Vec<T>,
        ) -> Result<(), TargetError> {
            log_p.fill(T::ZERO);
            for (x, score) in x.chunks_exact(n).zip(score.chunks_exact_mut(n)) {
                for l in 0..n {
                    log_p[l] += -x[l] * x[l];
                    score[l] = T::of(-2.0) * x[l];
                }
            }
            Ok(())
        }
    }
    let target = Trap(ParticleSystem { particles: 4, space: 2 });
    let sampler = run(&settings(1.5, |_| {}), &target, 1000, 3);
    let (log_z, error) = log_z_of(&*sampler);
    let want = 3.0 * std::f64::consts::PI.ln();
    assert!(error < 0.1 && (log_z - want).abs() < 5.0 * error, "{log_z} +- {error}, {want}");
    let x = sampler.draw(1000, 0, (0, 0)).unwrap();
    assert!(x.chunks(8).all(|x| x.iter().step_by(2).sum::<f64>().abs() < 1e-12));
}

#[test]
fn a_run_is_the_same_for_any_number_of_threads_and_after_a_restoration() {
    let target = Mixture::gmm40();
    let settings = settings(27.0, |c| (c.particles, c.temperatures) = (150, 60));
    let whole = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let sampler = run(&settings, &target, 10, 2);
            (sampler.checkpoint(), sampler.draw(10, 0, (0, 0)).unwrap(), sampler.diagnostics())
        })
    };
    let unbroken = whole(1);
    assert_eq!(unbroken, whole(3));
    for stop in [0, 3, 17, 60] {
        let mut first = settings.build(&target, 10, 2).unwrap();
        (0..stop).for_each(|_| first.step().unwrap());
        let bytes = first.checkpoint().encode().unwrap();
        let mut second = settings.build(&target, 10, 2).unwrap();
        second.restore(&Checkpoint::decode(&bytes).unwrap()).unwrap();
        while second.done() < second.total() {
            second.step().unwrap();
        }
        assert_eq!(unbroken.0, second.checkpoint(), "{stop}");
        assert_eq!(unbroken.2, second.diagnostics(), "{stop}");
    }
}

#[test]
fn what_went_wrong_is_said() {
    // Three temperatures do not reach a target that is sixty times as narrow as the start.
    let target = Mixture::new(2, vec![1.0, 0.0], vec![0.05], vec![1.0]).unwrap();
    let sampler = run(&settings(3.0, |c| c.temperatures = 3), &target, 10, 0);
    let failures = sampler.diagnostics().failures.join("; ");
    assert!(
        failures.contains("8 of 8 populations were not at the target after 3 temperatures"),
        "{failures}"
    );
    assert!(failures.contains("effective share of some population fell to 0.0"), "{failures}");
    let early = settings(3.0, |_| {}).build(&target, 10, 0).unwrap();
    let said = early.draw(1, 0, (0, 0)).unwrap_err().to_string();
    assert_eq!(said, "there are no samples yet: 0 of 8 populations at the target");
    // Energies are counted with those of the starts.
    assert_eq!(early.evaluations(), 8 * 128);
}

#[test]
fn settings_outside_their_ranges_are_named() {
    let target = Mixture::gmm40();
    for (change, want) in [
        ((|c| c.blocks = 1) as fn(&mut Config), "sampler.blocks = 1 must lie between 2 and 10000"),
        (|c| c.particles = 0, "sampler.particles = 0 must lie between 2 and 10000000"),
        (|c| c.initial_scale = f64::NAN, "sampler.initial_scale = NaN must lie between 0.000001 and 1000000"),
        (|c| c.ess = 1.0, "sampler.ess = 1 must lie between 0.01 and 0.9999"),
        (|c| c.resample = -0.1, "sampler.resample = -0.1 must lie between 0 and 1"),
        (|c| c.moves = 0, "sampler.moves = 0 must lie between 1 and 100000"),
        (|c| c.temperatures = 0, "sampler.temperatures = 0 must lie between 1 and 1000000"),
    ] {
        let built = Method::Smc(settings(1.0, change)).config().build(&target, 10, 0);
        assert_eq!(built.err().map_or(String::new(), |e| e.to_string()), want);
    }
    let most = settings(1.0, |_| {}).memory(&target, 1 << 40);
    assert!(
        memory_of(&most).starts_with("1099511627776 samples, each a particle in 2 dimensions"),
        "{most:?}"
    );
    // More samples than particles make more particles.
    let sampler = settings(30.0, |_| {}).build(&target, 8001, 0).unwrap();
    assert_eq!(sampler.evaluations(), 8 * 1001);
}

fn memory_of(parts: &[crate::memory::Part]) -> String {
    crate::memory::check(parts).err().unwrap_or_default()
}

#[test]
fn particles_that_lag_behind_the_temperatures_are_noticed_in_most_runs() {
    // Hot particles find the modes with difficulty: log Z is low in most populations, and the others differ.
    let target = StudentT::new(10, 5).unwrap();
    let settings = settings(6.1, |c| c.particles = 1024);
    let failures = |seed| run(&settings, &target, 10, seed).diagnostics().failures;
    let said: Vec<Vec<String>> = (0..4).map(failures).collect();
    assert!(said.iter().filter(|failures| !failures.is_empty()).count() >= 3, "{said:?}");
    let lag = |failures: &Vec<String>| failures.iter().any(|f| f.starts_with("particles lag behind"));
    assert!(said.iter().any(lag), "{said:?}");
}
