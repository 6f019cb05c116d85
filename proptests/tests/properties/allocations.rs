//! After its first step training allocates nothing: neither a loop over most of the ops, nor the sampler's trainer
//! between two refreshes of its buffer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use engine::data_parallel::DataParallel;
use engine::optim::{Adam, Ema, clip_by_norm};
use engine::{Params, Recording, Var, parallel};
use models::sampler::iwsm::{Config, Kind, Trainer};
use models::sampler::{MethodConfig, adjoint, dds};
use models::target::{AnyTarget, DoubleWell, Geometry, Mixture, Target};

struct Counting;

thread_local! {
    // Of each thread apart: the test's harness allocates on its own thread whenever it is scheduled.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of 20 calls of `step`, after two: on one worker, so that the work stays on one thread, where the
/// count is exact.
fn allocations(mut step: impl FnMut() + Send) -> usize {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        step();
        step();
        let before = COUNT.get();
        (0..20).for_each(|_| step());
        COUNT.get() - before
    })
}

/// Steps of a trainer of a small network of this kind.
fn trained(kind: Kind, target: &dyn Target<f32>) -> usize {
    let mut config = Config::default();
    // More than one shard, and of different sizes.
    (config.train.batch, config.train.draws) = (150, 40);
    (config.replay.capacity, config.replay.refresh_every) = (200, 1000);
    (config.network.kind, config.network.hidden, config.network.layers) = (kind, 24, 2);
    if let Geometry::Particles(_) = target.geometry() {
        (config.network.sigma_data, config.network.mode_scale, config.network.sigma_max) = (2.0, 0.3, 6.0);
        (config.network.passes, config.network.core) = (2, 0.5);
    }
    let mut trainer = Trainer::new(config, target, 0).unwrap();
    allocations(move || {
        trainer.step().unwrap();
    })
}

#[test]
fn the_samplers_trainer_allocates_nothing_between_refreshes() {
    for kind in [Kind::Mlp, Kind::Residual] {
        assert_eq!(trained(kind, &Mixture::gmm40()), 0, "{kind:?}");
    }
    for kind in [Kind::Mlp, Kind::Residual, Kind::Pair, Kind::Egnn] {
        assert_eq!(trained(kind, &DoubleWell::dw4()), 0, "{kind:?}");
    }
}

#[test]
fn trainings_on_paths_and_by_adjoint_matching_allocate_nothing_either() {
    for target in [&Mixture::gmm40() as &dyn AnyTarget, &DoubleWell::dw4()] {
        let mut paths = dds::Settings::begin(Some([2.0, 0.5]));
        // More than one chunk of paths, and shards of different sizes.
        (paths.train.batch, paths.train.path_steps, paths.network.hidden) = (150, 5, 24);
        let mut matching = adjoint::Settings::begin(Some([2.0, 0.5]));
        (matching.train.batch, matching.replay.capacity, matching.network.hidden) = (150, 200, 24);
        matching.replay.refresh_every = 1000;
        for settings in [&paths as &dyn MethodConfig, &matching] {
            let mut sampler = settings.build(target, 10, 0).unwrap();
            let count = allocations(move || sampler.step().unwrap());
            assert_eq!(count, 0);
        }
    }
}

#[test]
fn training_allocates_nothing_after_its_first_step() {
    const N: usize = 48;
    let mut params = Params::<f32>::new();
    let layers: Vec<_> = [(5, 32), (32, 32), (32, 2)]
        .iter()
        .enumerate()
        .map(|(l, (k, m))| {
            (params.add_weight(format!("w{l}"), *m, *k, 1.0, 0), params.add_zeros(format!("b{l}"), *m, 1))
        })
        .collect();
    // More parameters than one task takes, so that the loops over them are parallel ones.
    let table = params.add_zeros("table", 2 * parallel::CHUNK + 1, 1);
    let x = vec![0.3; 5 * N];
    let network = |g: &mut Recording<f32>| -> Var {
        let mut h = g.constant(5, N, &x);
        for (w, b) in &layers {
            let (w, b) = (g.param(*w), g.param(*b));
            h = g.linear_silu(w, h, b);
            h = g.tanh(h);
            h = g.softplus(h);
            let s = g.column_softmax(h);
            h = g.mul(h, s);
        }
        let h = g.square(h);
        let (table, loss) = (g.param(table), g.mean(h));
        let table = g.affine(table, 1.0, 1.0);
        let table = g.mean(table);
        g.add(loss, table)
    };
    let (mut adam, mut ema) = (Adam::new(params.len()), Ema::new(params.values(), 0.99));
    let mut shards = DataParallel::new(N);
    let count = allocations(|| {
        let (_, gradient) = shards.gradient(params.values(), N, |g, _, gradient| {
            let loss = network(g);
            g.backward(loss, gradient);
            0.0
        });
        clip_by_norm(gradient, 1.0);
        adam.step(params.values_mut(), gradient, 1e-3);
        ema.update(params.values());
    });
    assert_eq!(count, 0);
}
