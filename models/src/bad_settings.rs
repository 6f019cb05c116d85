//! The library checks its settings itself: whatever is built from settings that cannot work is an error of one line,
//! never a panic and never a run without end.

use engine::Params;

use crate::gnn::data::synthetic::karate;
use crate::gnn::networks::{Continuous, Frond, Gcn, GraphCon, H2gcn, Layered, Network};
use crate::gnn::oversmoothing::evolve::evolve;
use crate::gnn::training::Training;
use crate::gnn::training::classification::Metric;
use crate::gnn::training::train::fit;
use crate::gnn::{Dataset, Split};
use crate::mcmc::parallel_tempering;
use crate::sampler::iwsm::{Config, Explore, Kind, ScoreMatching, Trainer};
use crate::sampler::{Method, hmc};
use crate::target::{
    DoubleWell, Funnel, LennardJones, ManyWell, Mixture, MultiWell, ParticleSystem, Phi4, Pointwise,
    SoftenedCore, StudentT, Target, TargetConfig,
};

fn of_training(change: fn(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    let mixture = Mixture::gmm40();
    let direct =
        Trainer::<f32>::new(config.clone(), &mixture, 0).err().map_or(String::new(), |e| e.to_string());
    let by_name = Method::Iwsm(ScoreMatching(config)).config().build(&mixture, 10, 0);
    assert_eq!(by_name.err().map_or(String::new(), |e| e.to_string()), direct);
    direct
}

fn of_walkers(change: fn(&mut hmc::Config)) -> String {
    let mut sampler = hmc::Config { walkers: 8, scale: 1.0, leapfrog_steps: 3, warm_up: 10, thin: 2 };
    change(&mut sampler);
    let built = Method::Hmc(hmc::Settings { sampler }).config().build(&Mixture::gmm40(), 10, 0).err();
    built.map_or(String::new(), |e| e.to_string())
}

fn of_ladder(change: fn(&mut parallel_tempering::Config)) -> String {
    let mut sampler = parallel_tempering::Config::default();
    change(&mut sampler);
    let built =
        Method::Pt(parallel_tempering::Settings { sampler }).config().build(&Mixture::gmm40(), 10, 0).err();
    built.map_or(String::new(), |e| e.to_string())
}

#[test]
fn settings_of_a_training() {
    assert_eq!(of_training(|_| {}), "");
    for (change, want) in [
        ((|c| c.train.batch = 0) as fn(&mut Config), "train.batch = 0 must lie between 1 and 1000000"),
        (|c| c.train.draws = 0, "train.draws = 0 must lie between 1 and 10000000"),
        (|c| c.train.steps = 0, "train.steps = 0 must lie between 1 and 1000000000000"),
        (
            |c| c.train.steps = u64::MAX,
            "train.steps = 18446744073709552000 must lie between 1 and 1000000000000",
        ),
        (
            |c| c.train.warm_up = u64::MAX,
            "train.warm_up = 18446744073709552000 must lie between 0 and 1000000000000",
        ),
        (|c| c.train.ema = 2.0, "train.ema = 2 must be at least 0 and below 1"),
        (|c| c.train.ema = f64::NAN, "train.ema = NaN must be at least 0 and below 1"),
        (|c| c.train.learning_rate = -1e-3, "train.learning_rate = -0.001 must be a positive number"),
        (|c| c.train.clip = f64::INFINITY, "train.clip = inf must be a positive number"),
        (|c| c.train.score_clip = -1.0, "train.score_clip = -1 must not be negative"),
        (
            |c| c.train.core = 0.5,
            "train.core softens pairs of particles within a radius at which their energy is finite: set it to 0",
        ),
        (|c| c.weights.power = 1.5, "weights.power = 1.5 must lie between 0 and 1"),
        (
            |c| c.weights.denominator_samples = 20_000,
            "weights.denominator_samples = 20000 must lie between 0 and 10000",
        ),
        (|c| c.replay.capacity = 0, "replay.capacity = 0 must lie between 1 and 60000000"),
        (|c| c.replay.refresh_every = 0, "replay.refresh_every = 0 must lie between 1 and 1000000000000"),
        (|c| c.replay.refresh_steps = 0, "replay.refresh_steps = 0 must lie between 1 and 1000000"),
        (
            |c| c.replay.recycle = usize::MAX,
            "replay.recycle = 18446744073709552000 must lie between 0 and 1000000",
        ),
        (
            |c| c.replay.moves = usize::MAX,
            "replay.moves = 18446744073709552000 must lie between 0 and 1000000",
        ),
        (
            |c| c.replay.first_moves = 1 << 40,
            "replay.first_moves = 1099511627776 must lie between 0 and 1000000",
        ),
        (|c| c.replay.leapfrog_steps = 0, "replay.leapfrog_steps = 0 must lie between 1 and 65536"),
        (|c| c.network.hidden = 0, "network.hidden = 0 must lie between 1 and 16384"),
        (|c| c.network.layers = 0, "network.layers = 0 must lie between 1 and 1024"),
        (
            |c| c.network.sigma_data = -1.0,
            "network.sigma_data = -1 must lie between 0.000000001 and 1000000000",
        ),
        (
            |c| c.network.mode_scale = 0.0,
            "network.mode_scale = 0 is measured only together with network.sigma_data = 0: give its number",
        ),
        (|c| c.network.sigma_max = 1e300, "network.sigma_max = 1000000000"),
        (|c| c.network.sigma_max = 0.01, "network.sigma_max = 0.01 must exceed network.sigma_min = 0.05"),
        (
            |c| c.network.kind = Kind::Egnn,
            "network.kind = pair and egnn are for particles: set it to mlp or residual",
        ),
    ] {
        let said = of_training(change);
        assert!(said == want || (want.len() < 35 && said.starts_with(want)), "{said}, not {want}");
    }
}

#[test]
fn scales_that_are_to_be_measured_are_for_methods() {
    let mut config = Config::default();
    config.network.sigma_data = 0.0;
    let mixture = Mixture::gmm40();
    let said = Trainer::<f32>::new(config.clone(), &mixture, 0).err().unwrap().to_string();
    assert_eq!(
        said,
        "network.sigma_data = 0 has it measured, by the method's build: give its number to a Trainer"
    );
    let mut explored = Config::default();
    explored.replay.explore = Explore::Smc;
    let said = Trainer::<f32>::new(explored, &mixture, 0).err().unwrap().to_string();
    assert!(said.starts_with("replay.explore = pt and smc run before a training"), "{said}");
    assert!(Method::Iwsm(ScoreMatching(config)).config().build(&mixture, 10, 0).is_ok());
}

#[test]
fn settings_of_chains() {
    assert_eq!((of_walkers(|_| {}), of_ladder(|c| c.scale = 20.0)), (String::new(), String::new()));
    for (change, want) in [
        ((|c| c.walkers = 0) as fn(&mut hmc::Config), "sampler.walkers = 0 must lie between 2 and 1000000"),
        (|c| c.walkers = 7, "sampler.walkers = 7 must be even"),
        (|c| c.scale = f64::NAN, "sampler.scale = NaN must lie between 0.000001 and 1000000"),
        (|c| c.leapfrog_steps = 0, "sampler.leapfrog_steps = 0 must lie between 1 and 100000"),
        (
            |c| c.warm_up = usize::MAX,
            "sampler.warm_up = 18446744073709552000 must lie between 1 and 1000000000",
        ),
        (|c| c.thin = 0, "sampler.thin = 0 must lie between 1 and 1000000"),
    ] {
        assert_eq!(of_walkers(change), want);
    }
    for (change, want) in [
        (
            (|c| c.rungs = 1) as fn(&mut parallel_tempering::Config),
            "sampler.rungs = 1 must lie between 2 and 10000",
        ),
        (|c| c.walkers = 0, "sampler.walkers = 0 must lie between 2 and 100000"),
        (|c| c.least_lambda = 0.0, "sampler.least_lambda = 0 must lie between 0.000000000001 and 1"),
        (|c| c.acceptance = 1.0, "sampler.acceptance = 1 must lie between 0.1 and 0.99"),
        (|c| c.thin = usize::MAX, "sampler.thin = 18446744073709552000 must lie between 1 and 1000000"),
    ] {
        assert_eq!(of_ladder(change), want);
    }
    // Steps for more samples than there can be do not overflow.
    let samples = |m: Method| m.config().steps(usize::MAX);
    assert!(samples(Method::named("hmc", None).unwrap()) > 1 << 50);
    assert!(samples(Method::named("pt", None).unwrap()) > 1 << 50);
}

/// A target without a force, on any space.
struct Free(crate::target::Geometry);

impl<T: engine::Real> Target<T> for Free {
    fn geometry(&self) -> crate::target::Geometry {
        self.0
    }

    fn log_density_block(
        &self,
        _: usize,
        _: &[T],
        log_p: &mut [T],
        score: &mut [T],
        _: &mut Vec<T>,
    ) -> Result<(), crate::target::TargetError> {
        log_p.fill(T::ZERO);
        score.fill(T::ZERO);
        Ok(())
    }
}

#[test]
fn targets() {
    let system = |particles, space| Free(ParticleSystem { particles, space }.into());
    let nothing = "the target's states have no coordinates: give it a dimension";
    let few = |n, d| {
        format!("the target has {n} particles in {d} dimensions: it needs at least 2, in 1 to 3 dimensions")
    };
    for (target, want) in [
        (Free(crate::target::Geometry::Euclidean(0)), nothing.to_string()),
        (system(0, 3), few(0, 3)),
        (system(1, 2), few(1, 2)),
        (system(4, 0), few(4, 0)),
        (system(4, 4), few(4, 4)),
    ] {
        for (name, _) in Method::NAMES {
            let method = Method::named(name, Some([1.0, 0.5])).unwrap();
            assert_eq!(method.config().problem(&target).as_ref(), Some(&want), "{name}");
            assert_eq!(method.config().build(&target, 10, 0).err().unwrap().to_string(), want, "{name}");
        }
    }
    let empty = Pointwise::new(0, |_: &[f64], _: &mut [f64]| 0.0);
    let direct = parallel_tempering::ParallelTempering::new(Default::default(), &empty, 0).err();
    assert_eq!(direct.unwrap().to_string(), nothing);
    fn said<V, E: ToString>(result: Result<V, E>) -> String {
        result.err().map_or(String::new(), |e| e.to_string())
    }
    let core = |c: f64| said(SoftenedCore::new(LennardJones::lj13(), c));
    for (said, want) in [
        (said(LennardJones::new(1)), "particles = 1: a system of pairs needs at least 2"),
        (said(DoubleWell::new(0)), "particles = 0: a system of pairs needs at least 2"),
        (said(Funnel::new(1)), "dim = 1: a funnel has a neck and a mouth, and needs at least 2"),
        (said(ManyWell::new(0)), "pairs = 0: a many-well needs at least 1"),
        (said(MultiWell::new(0, 4.0)), "dim = 0: wells need at least 1 coordinate"),
        (said(MultiWell::new(5, f64::NAN)), "delta = NaN must lie between 0.1 and 100"),
        (said(StudentT::new(1, 5)), "dim = 1: the centres of student-t differ in 2 dimensions and more"),
        (said(StudentT::new(2, 0)), "degrees = 0 must be at least 1"),
        (said(Phi4::new(1, 0.3, 0.02)), "side = 1: a lattice with neighbours needs at least 2"),
        (said(Phi4::new(8, f64::NAN, 0.02)), "kappa = NaN must be a finite number"),
        (said(Phi4::new(8, 0.3, 0.0)), "lambda = 0 must be a positive number"),
        (core(0.0), "core = 0.0 must be a positive number"),
        (core(f64::NAN), "core = NaN must be a positive number"),
        (core(1e-200), "core = 1e-200 is so small that the energy at it is not finite"),
        (
            said(Mixture::random(0, 2, 1.0, 1.0, false, 0)),
            "a mixture needs at least one component and one dimension",
        ),
        (
            said(Mixture::random(3, 2, 1.0, 0.0, true, 0)),
            "component 0: its scale and weight must be positive and its mean finite",
        ),
        (
            said(Mixture::random(3, 2, f64::NAN, 1.0, true, 0)),
            "component 0: its scale and weight must be positive and its mean finite",
        ),
    ] {
        assert_eq!(said, want);
    }
    let mut config = TargetConfig::of("funnel").unwrap();
    config.parameters.insert("dim".into(), crate::target::registry::Parameter::Integer(u64::MAX));
    assert_eq!(said(config.build()), "target.dim = 18446744073709552000 must lie between 2 and 1000");
}

#[test]
fn networks_of_graphs() {
    let data = karate();
    let train = |network: &Network, training: &Training, data: &Dataset, split: &Split| {
        let outcome = fit(data, split, (network, training), Metric::Accuracy, 0, &|| false);
        outcome.err().map_or(String::new(), |e| e.to_string())
    };
    let split = &data.splits[0];
    let short = Training { epochs: 1, ..Training::default() };
    let gcn = Network::named("gcn").unwrap();
    for (training, want) in [
        (Training { epochs: 0, ..short.clone() }, "train.epochs = 0 must lie between 1 and 1000000"),
        (
            Training { epochs: usize::MAX, ..short.clone() },
            "train.epochs = 18446744073709552000 must lie between 1 and 1000000",
        ),
        (
            Training { learning_rate: 0.0, ..short.clone() },
            "train.learning_rate = 0 must be a positive number",
        ),
        (Training { decay: f64::NAN, ..short.clone() }, "train.decay = NaN must not be negative"),
    ] {
        assert_eq!(train(&gcn, &training, &data, split), want);
    }
    let mut wide = Layered::<Gcn>::default();
    wide.width.hidden = 0;
    let mut grade = Continuous::default();
    grade.integration.time = f64::NAN;
    for (network, want) in [
        (Network::Gcn(wide), "model.hidden = 0 must lie between 1 and 16384"),
        (
            Network::Gcn(Layered { layers: 0, ..Default::default() }),
            "model.layers = 0 must lie between 1 and ",
        ),
        (
            Network::Gcn(Layered { layers: usize::MAX, ..Default::default() }),
            "model.layers = 18446744073709552000 must",
        ),
        (
            Network::H2gcn(Layered::<H2gcn> { layers: 9, ..Default::default() }),
            "model.layers = 9 must lie between 1 and 3",
        ),
        (Network::Grade(grade), "model.time = NaN must be a positive number"),
        (
            Network::GraphCon(GraphCon { step: 0.0, ..Default::default() }),
            "model.step = 0 must be a positive number",
        ),
        (
            Network::Frond(Frond { order: 0.0, ..Default::default() }),
            "model.order = 0 must be above 0 and at most 1",
        ),
    ] {
        let said = train(&network, &short, &data, split);
        assert!(said.starts_with(want), "{said}, not {want}");
        let built = network.build::<f32>(&data, &mut Params::new(), 0);
        assert_eq!(built.err().unwrap_or_default(), said);
    }
    type Change = fn(&mut Dataset);
    for (change, want) in [
        ((|d| d.edges[3].1 = 99) as Change, "leads to a node that does not exist; there are 34 nodes"),
        (|d| d.edges.swap(0, 1), "the edges are not sorted, or some are stored twice"),
        (|d| d.labels[5] = 2, "node 5 has class 2; there are 2 classes"),
        (|d| d.classes = 0, "the graph has 34 nodes in 0 classes"),
        (|d| _ = d.labels.pop(), "there are features of 34 nodes, labels of 33"),
        (|d| d.splits[0].validation.push(34), "the validation part holds node 34; there are 34"),
        (|d| d.splits[0].train.clear(), "the training part is empty"),
    ] {
        let mut broken = data.clone();
        change(&mut broken);
        let said = train(&gcn, &short, &broken, &broken.splits[0]);
        assert!(said.ends_with(want), "{said}, not {want}");
    }
    let grand = Network::named("grand").unwrap();
    let see = |_: usize, _: &[f32]| std::ops::ControlFlow::Continue(());
    for x0 in [&[0.0_f32; 35][..], &[]] {
        let said = evolve(&grand, &data, x0, 1, 0, see).unwrap_err();
        assert_eq!(said, format!("the state has {} numbers, which are no channels of 34 nodes", x0.len()));
    }
}
