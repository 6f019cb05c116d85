//! Regression by hand: the loop that every training in this project is made of.
//!
//! A network y = W2 tanh(W1 x + b1) + b2 learns sin from 64 points by minimising the mean squared error with
//! Adam. Columns are points: x and y are 1 x 64 matrices.

use engine::optim::Adam;
use engine::{Params, Tape};

fn main() {
    let points: Vec<f32> = (0..64).map(|i| -3.0 + 6.0 * i as f32 / 63.0).collect();
    let wanted: Vec<f32> = points.iter().map(|x| x.sin()).collect();

    // All parameters lie in one slice; an id says where each matrix lies.
    let mut params = Params::<f32>::new();
    let (w1, b1) = (params.add_weight("w1", 32, 1, 1.0, 0), params.add_zeros("b1", 32, 1));
    let (w2, b2) = (params.add_weight("w2", 1, 32, 1.0, 0), params.add_zeros("b2", 1, 1));

    let mut adam = Adam::new(params.len());
    let mut gradient = vec![0.0; params.len()];
    // The tape keeps its memory from step to step.
    let mut tape = Tape::new();
    let mut loss = f32::INFINITY;
    for _ in 0..2000 {
        let mut rec = tape.record(params.values());
        let [w1, b1, w2, b2] = [w1, b1, w2, b2].map(|id| rec.param(id));
        let (x, y) = (rec.constant(1, 64, &points), rec.constant(1, 64, &wanted));
        let hidden = rec.linear_tanh(w1, x, b1);
        let output = rec.linear(w2, hidden, b2);
        let difference = rec.sub(output, y);
        let squares = rec.square(difference);
        let mean = rec.mean(squares);
        loss = rec.value(mean).data[0];

        // `backward` adds to the gradient.
        gradient.fill(0.0);
        rec.backward(mean, &mut gradient);
        adam.step(params.values_mut(), &gradient, 0.01);
    }
    println!("mean squared error after 2000 steps: {loss:.1e}");
    assert!(loss < 1e-4, "the network has not learned sin");
}
