//! Networks with the settings of their authors, against their equations on dense matrices of a small graph, and
//! their gradients against differences.

use engine::rng::Stream;
use engine::{Params, Tape};
use models::gnn::{Dataset, Dropout};

use crate::dense_networks::{
    Dense, Reference, by_both, by_rows, listen, logistic, map, product, relu, rows, softmax, zip,
};
use crate::graph_dynamics::{network, small};
use crate::networks::slope;

/// The logits of a network, in training or in evaluation, and the gradient of <w, logits> in its parameters.
fn run(
    (name, settings, training): (&str, &str, bool),
    data: &Dataset,
    values: &[f64],
    w: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let network = network(name, settings).build::<f64>(data, &mut Params::new(), 1).unwrap();
    let (mut tape, mut dropout) = (Tape::new(), Dropout::off());
    if training {
        dropout.begin(Stream::new(0, "dropout", 0, 0));
    }
    let mut g = tape.record(values);
    let logits = network.forward(&mut g, &mut dropout).logits;
    let out = g.value(logits).data.to_vec();
    let mut gradient = vec![0.0; values.len()];
    if !w.is_empty() {
        g.backward_from(logits, w, &mut gradient);
    }
    (out, gradient)
}

/// Holds a network in evaluation against `reference`, and its gradient along a random direction of its parameters
/// against differences.
fn check(name: &str, settings: &str, reference: impl Fn(&Reference) -> Dense) {
    check_in(false, name, settings, reference);
}

fn check_in(training: bool, name: &str, settings: &str, reference: impl Fn(&Reference) -> Dense) {
    let asked = (name, settings, training);
    let data = small();
    let mut params = Params::new();
    network(name, settings).build::<f64>(&data, &mut params, 1).unwrap();
    // Coefficients that begin at 0 or 1 would hide what they multiply.
    let normals = |count: usize, name: &str| {
        let mut v = vec![0.0; count];
        Stream::new(3, name, 0, 0).fill_normal(&mut v);
        v
    };
    let drawn: Vec<f64> = normals(params.len(), "params").iter().map(|p| 0.4 * p).collect();
    params.values_mut().copy_from_slice(&drawn);
    let variances: Vec<_> =
        params.entries().filter(|(name, _)| name.ends_with("variance")).map(|e| e.1).collect();
    for id in variances {
        params.values_mut()[id.range()].iter_mut().for_each(|v| *v = 0.5 + v.abs());
    }
    let want = reference(&Reference { name, params: &params, data: &data });
    let w = normals(want.data().len(), "cotangent");
    let (got, gradient) = run(asked, &data, params.values(), &w);
    assert_eq!(got.len(), want.data().len());
    for (got, want) in got.iter().zip(want.data()) {
        assert!((got - want).abs() < 1e-11 * want.abs().max(1.0), "{name} {settings}: {got}, not {want}");
    }
    let along = normals(params.len(), "direction");
    let numeric = slope(|s| {
        let moved: Vec<f64> = params.values().iter().zip(&along).map(|(p, u)| p + s * u).collect();
        run(asked, &data, &moved, &[]).0.iter().zip(&w).map(|(y, w)| y * w).sum()
    });
    let analytic: f64 = gradient.iter().zip(&along).map(|(g, u)| g * u).sum();
    let error = (numeric - analytic).abs() / analytic.abs().max(1.0);
    assert!(error < 1e-6, "{name} {settings}: {analytic}, by differences {numeric}");
}

/// A linear map of `x`, and twice x + W relu(x) + b.
fn encoded(r: &Reference) -> Dense {
    let layer = |x: Dense, name: &str| zip(&x, &r.linear(name, &relu(&x)), |x, c| x + c);
    ["encoder.1", "encoder.2"].into_iter().fold(r.encoded(), layer)
}

/// tanh(x + W tanh x + b), then linear.
fn decoded(r: &Reference, x: &Dense) -> Dense {
    let change = r.linear("decoder.1", &map(x, f64::tanh));
    r.linear("decoder", &zip(x, &change, |x, c| (x + c).tanh()))
}

/// The mean over two heads of 4 numbers of weights made from the scores of each, with their biases.
fn attention(r: &Reference, x: &Dense, weights: impl Fn(&[Dense; 2]) -> [Dense; 2]) -> Dense {
    let of = |side: &str| {
        let (w, b) = (r.param(&format!("attention.{side}")), r.param(&format!("attention.{side}.bias")));
        let y = product(&w, x);
        Dense::from_fn(y.rows(), y.cols(), |i, j| y[(i, j)] + b[(i, 0)])
    };
    let (q, k) = (of("query"), of("key"));
    let head = |h: usize| {
        let (q, k) = (rows(&q, 4 * h, 4 * h + 4), rows(&k, 4 * h, 4 * h + 4));
        Dense::from_fn(x.cols(), x.cols(), |i, j| (0..4).map(|a| q[(a, i)] * k[(a, j)]).sum::<f64>() / 2.0)
    };
    let [a, b] = weights(&[head(0), head(1)]);
    zip(&a, &b, |a, b| 0.5 * (a + b))
}

fn transposed(x: &Dense) -> Dense {
    Dense::from_fn(x.cols(), x.rows(), |i, j| x[(j, i)])
}

/// Steps of the 3/8 rule as torchdiffeq writes it, of dx/dt = f(x): three of length 1/2, and one of 1/4.
fn three_eighths(first: &Dense, f: impl Fn(&Dense) -> Dense) -> Dense {
    [0.5, 0.5, 0.5, 0.25].into_iter().fold(first.clone(), |y, h| {
        let k1 = f(&y);
        let k2 = f(&zip(&y, &k1, |y, k| y + h * k / 3.0));
        let k3 = f(&zip(&y, &zip(&k2, &k1, |a, b| a - b / 3.0), |y, k| y + h * k));
        let k4 = f(&zip(&y, &zip(&zip(&k1, &k2, |a, b| a - b), &k3, |a, b| a + b), |y, k| y + h * k));
        let middle = zip(&k2, &k3, |a, b| 3.0 * (a + b));
        zip(&y, &zip(&zip(&k1, &middle, |a, b| a + b), &k4, |a, b| a + b), |y, k| y + h * k / 8.0)
    })
}

const GREAD: &str = "hidden = 6\ntime = 1.75\nstep = 0.5\nsolver = \"rk38\"\nlast_step = \"short\"\nbeta_diag = true\n\
    ends = \"gread\"\ndeep_encoder = true\ndeep_decoder = true\nrelu = false\nattention_bias = true\nheads = 2\n\
    attention_size = 8\nalpha = \"channel\"\n";

/// f = s(alpha) (A x - x) + diag(b) R, R = -A (A x - x).
fn gread(r: &Reference, a: &Dense, first: &Dense) -> Dense {
    let (alpha, b) = (r.param("alpha"), r.param("reaction"));
    three_eighths(first, |x| {
        let diffusion = zip(&listen(a, x), x, |y, x| y - x);
        let reaction = listen(a, &diffusion);
        Dense::from_fn(x.rows(), x.cols(), |c, i| {
            logistic(alpha[(c, 0)]) * diffusion[(c, i)] - b[(c, 0)] * reaction[(c, i)]
        })
    })
}

#[test]
fn gread_is_that_of_its_authors() {
    // `rw` of their code divides by the degree of the sender, `gcn` by the roots of both.
    for (normalisation, loops) in [("column", true), ("symmetric", false)] {
        let settings =
            format!("{GREAD}attention = false\nnormalisation = \"{normalisation}\"\nloops = {loops}\n");
        check("gread-bs", &settings, |r| {
            let ones = r.ones(loops);
            let by_sender = || transposed(&by_rows(&transposed(&ones)));
            let a = if normalisation == "column" { by_sender() } else { by_both(&ones) };
            decoded(r, &gread(r, &a, &encoded(r)))
        });
    }
    let settings = format!("{GREAD}attention = true\nloops = true\n");
    check("gread-bs", &settings, |r| {
        let (first, ones) = (encoded(r), r.ones(true));
        let a = attention(r, &first, |s| [softmax(&ones, &s[0]), softmax(&ones, &s[1])]);
        decoded(r, &gread(r, &a, &first))
    });
    // With the gradient from checkpoints.
    let settings = format!("{settings}backward = \"checkpointed\"\n");
    check("gread-bs", &settings, |r| {
        let (first, ones) = (encoded(r), r.ones(true));
        let a = attention(r, &first, |s| [softmax(&ones, &s[0]), softmax(&ones, &s[1])]);
        decoded(r, &gread(r, &a, &first))
    });
}

/// s(alpha) (A(x) x - x) in steps of a half, A anew at each state or that of the first.
fn diffused(r: &Reference, nonlinear: bool, a: impl Fn(&Dense) -> Dense) -> Dense {
    let alpha = r.squashed("alpha", 0);
    r.euler(|x, first| {
        let a = a(if nonlinear { x } else { first });
        zip(&listen(&a, x), x, |y, x| alpha * (y - x))
    })
}

#[test]
fn grand_is_that_of_its_authors() {
    let settings = |more: &str| {
        format!(
            "hidden = 6\ntime = 2.0\nstep = 0.5\nsolver = \"euler\"\nattention = true\nattention_bias = true\n\
             heads = 2\nattention_size = 8\nloops = true\n{more}"
        )
    };
    let ones = |r: &Reference| r.ones(true);
    let by_receiver = |r: &Reference, s: &[Dense; 2]| [softmax(&ones(r), &s[0]), softmax(&ones(r), &s[1])];
    // Its nonlinear form, by the encoder and the decoder that most networks here have.
    check("grand", &settings("nonlinear = true\n"), |r| {
        diffused(r, true, |x| attention(r, x, |s| by_receiver(r, s)))
    });
    // Columns that sum to 1.
    let turned = |r: &Reference, s: &Dense| transposed(&softmax(&transposed(&ones(r)), &transposed(s)));
    check("grand", &settings("attention_over = \"senders\"\n"), |r| {
        diffused(r, false, |x| attention(r, x, |s| [turned(r, &s[0]), turned(r, &s[1])]))
    });
    // Squareplus, after the largest score of all heads and edges is taken away.
    let squareplus = |r: &Reference, s: &[Dense; 2]| {
        let ones = ones(r);
        let edges = s.iter().flat_map(|s| s.data().iter().zip(ones.data()));
        let top = edges.filter(|e| *e.1 > 0.0).fold(f64::NEG_INFINITY, |top, e| top.max(*e.0));
        [0, 1].map(|h| zip(&ones, &s[h], |one, s| one * ((s - top) + ((s - top).powi(2) + 4.0).sqrt()) / 2.0))
    };
    check("grand", &settings("attention_weights = \"squareplus\"\n"), |r| {
        diffused(r, false, |x| attention(r, x, |s| squareplus(r, s).map(|w| by_rows_of(&w))))
    });
    check("grand", &settings("attention_weights = \"squareplus\"\nattention_over = \"senders\"\n"), |r| {
        let by_columns = |w: Dense| transposed(&by_rows_of(&transposed(&w)));
        diffused(r, false, |x| attention(r, x, |s| squareplus(r, s).map(by_columns)))
    });
}

/// Rows that sum to 1.
fn by_rows_of(w: &Dense) -> Dense {
    let total: Vec<f64> = (0..w.rows()).map(|i| (0..w.cols()).map(|j| w[(i, j)]).sum()).collect();
    Dense::from_fn(w.rows(), w.cols(), |i, j| w[(i, j)] / total[i])
}

#[test]
fn acmp_is_that_of_its_authors() {
    let settings = "hidden = 6\ntime = 2.0\nstep = 0.5\nsolver = \"euler\"\nform = \"code\"\nrepulsion = 0.3\n\
        learned_repulsion = false\nnormalisation = \"column\"\n";
    check("acmp", settings, |r| {
        let ones = r.ones(true);
        let a = zip(&transposed(&by_rows(&transposed(&ones))), &ones, |a, one| a - 0.3 * one);
        r.euler(|x, _| {
            let diffusion = zip(&listen(&a, x), x, |y, x| y - x);
            Dense::from_fn(x.rows(), x.cols(), |c, i| {
                let x = x[(c, i)];
                r.squashed("alpha", c) * diffusion[(c, i)] - r.squashed("delta", c) * (x * x - 1.0) * x
            })
        })
    });
}

#[test]
fn graphcon_is_that_of_its_authors() {
    for branch in ["none", "first", "second"] {
        let settings = format!(
            "hidden = 6\nlayers = 3\nstep = 0.5\nteleport = 0.3\ngamma = 0.7\nform = \"code\"\ndeep_decoder = false\n\
             relu = false\nresidual_branch = \"{branch}\"\n"
        );
        check("graphcon", &settings, |r| {
            let (w, b) = (r.param("coupling.weight"), r.param("coupling.bias"));
            let first = relu(&r.encoded());
            let (mut x, mut y) = (first.clone(), first);
            for _ in 0..3 {
                let lin = product(&w, &x);
                let mixed = listen(&r.symmetric(), &lin);
                let branch = match branch {
                    "first" => map(&r.linear("residual", &lin), |v| -v),
                    "second" => zip(&r.linear("residual", &x), &lin, |res, lin| res - lin),
                    _ => map(&x, |_| 0.0),
                };
                let force = zip(&mixed, &branch, |m, r| m + r);
                y = Dense::from_fn(6, x.cols(), |c, i| {
                    let force = (force[(c, i)] + b[(c, 0)]).max(0.0);
                    y[(c, i)] + 0.5 * (force - 0.3 * y[(c, i)] - 0.7 * x[(c, i)])
                });
                x = zip(&x, &y, |x, y| x + 0.5 * y);
            }
            r.linear("decoder", &x)
        });
    }
}

#[test]
fn gat_with_the_nonlinearity_of_its_authors() {
    let settings = "hidden = 8\nheads = 2\nlayers = 3\nnonlinearity = \"elu\"\n";
    check("gat", settings, |r| r.gat(|v| if v > 0.0 { v } else { v.exp() - 1.0 }));
    // Attention weights by two ops where some may be dropped.
    let settings = format!("{settings}attention_dropout = 0.6\n");
    check("gat", &settings, |r| r.gat(|v| if v > 0.0 { v } else { v.exp() - 1.0 }));
}

/// Layers of C(x) [+ V x + c], `norm` and a ReLU, and a linear map; `norm` is asked with the layer's name.
pub(crate) fn tuned(r: &Reference, residual: bool, norm: impl Fn(&str, Dense) -> Dense) -> Dense {
    let layer = |x: Dense, l: usize| {
        let name = format!("layer.{l}");
        let part = |part: &str| r.param(&format!("{name}.{part}"));
        let (h, b) = (product(&part("convolution.weight"), &x), part("convolution.bias"));
        let shifted = |y: Dense| Dense::from_fn(y.rows(), y.cols(), |i, j| y[(i, j)] + b[(i, 0)]);
        let mut y = match r.name {
            "tuned-gcn" => shifted(listen(&r.symmetric(), &h)),
            "tuned-sage" => {
                let own = product(&part("own.weight"), &x);
                zip(&shifted(listen(&r.row(true), &h)), &own, |a, b| a + b)
            }
            _ => {
                let score = |a: &Dense, i: usize| (0..h.rows()).map(|k| a[(k, 0)] * h[(k, i)]).sum::<f64>();
                let (own, other) = (part("listening"), part("heard"));
                let s = Dense::from_fn(h.cols(), h.cols(), |i, j| score(&own, i) + score(&other, j));
                listen(&softmax(&r.ones(true), &map(&s, |v| v.max(0.2 * v))), &h)
            }
        };
        if residual {
            y = zip(&y, &r.linear(&format!("{name}.residual"), &x), |y, kept| y + kept);
        }
        relu(&norm(&name, y))
    };
    r.linear("decoder", &(1..=3).fold(r.features(), layer))
}

#[test]
fn tuned_networks_are_those_of_their_authors() {
    for name in ["tuned-gcn", "tuned-gat", "tuned-sage"] {
        let settings = |norm: &str| {
            let sizes = "hidden = 8\nlayers = 3\nresidual = true\ninput_dropout = 0.0\ndropout = 0.0\n";
            format!("{sizes}norm = \"{norm}\"\n")
        };
        check(name, &settings("none"), |r| tuned(r, true, |_, x| x));
        let scaled = |r: &Reference, layer: &str, x: Dense| {
            let of = |part: &str| r.param(&format!("{layer}.norm.{part}"));
            let (w, b) = (of("weight"), of("bias"));
            Dense::from_fn(x.rows(), x.cols(), |i, j| w[(i, 0)] * x[(i, j)] + b[(i, 0)])
        };
        // Of each column, by the sums over its entries.
        let columns = |x: &Dense| {
            let n = x.rows() as f64;
            let mean = |j: usize| (0..x.rows()).map(|i| x[(i, j)]).sum::<f64>() / n;
            let variance =
                |j: usize| (0..x.rows()).map(|i| x[(i, j)].powi(2)).sum::<f64>() / n - mean(j).powi(2);
            Dense::from_fn(x.rows(), x.cols(), |i, j| (x[(i, j)] - mean(j)) / (variance(j) + 1e-5).sqrt())
        };
        check(name, &settings("layer"), |r| tuned(r, true, |layer, x| scaled(r, layer, columns(&x))));
        check_in(true, name, &settings("batch"), |r| {
            tuned(r, true, |layer, x| scaled(r, layer, transposed(&columns(&transposed(&x)))))
        });
        check(name, &settings("batch"), |r| {
            tuned(r, true, |layer, x| {
                let of = |part: &str| r.param(&format!("{layer}.norm.{part}"));
                let (m, v) = (of("mean"), of("variance"));
                let normal = Dense::from_fn(x.rows(), x.cols(), |i, j| {
                    (x[(i, j)] - m[(i, 0)]) / (v[(i, 0)] + 1e-5).sqrt()
                });
                scaled(r, layer, normal)
            })
        });
    }
}
