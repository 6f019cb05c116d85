//! After its first step a training loop's tape allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use engine::optim::{Adam, Ema, clip_by_norm};
use engine::shard::Shards;
use engine::{Params, Recording, Var, par};

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
    let table = params.add_zeros("table", 2 * par::CHUNK + 1, 1);
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
    // One shard and one worker: the work stays on one thread, where the count is exact.
    let mut shards = Shards::new(N);
    let mut step = || {
        let (_, gradient) = shards.gradient(params.values(), N, |g, _, gradient| {
            let loss = network(g);
            g.backward(loss, gradient);
            0.0
        });
        clip_by_norm(gradient, 1.0);
        adam.step(params.values_mut(), gradient, 1e-3);
        ema.update(params.values());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let count = pool.install(|| {
        step();
        step();
        let before = COUNT.get();
        (0..20).for_each(|_| step());
        COUNT.get() - before
    });
    assert_eq!(count, 0);
}
