//! Whole training steps: the workloads of the binary `speed`, and a step of IWSM and of iDEM.
#![allow(missing_docs)] // criterion's macros make undocumented functions

use criterion::{Criterion, criterion_group, criterion_main};
use experiments::workloads;
use models::sampler::iwsm::{Config, Objective, Trainer};
use models::target::Mixture;

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("steps");
    group.sample_size(20);
    for workload in workloads::ALL {
        let mut step = (workload.build)();
        group.bench_function(workload.name, |b| b.iter(&mut step));
    }
    let target = Mixture::gmm40();
    for (name, objective) in [("iwsm", Objective::Iwsm), ("idem", Objective::Idem)] {
        let config = Config { objective, ..Config::default() };
        let mut trainer = Trainer::<f32>::new(config, &target, 0).unwrap();
        group.bench_function(format!("{name} on gmm40"), |b| b.iter(|| trainer.step().map(|r| r.loss)));
    }
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
