//! Every graph network against its equations on dense matrices of a small graph: states are features x nodes, and
//! A_ij is the weight with which receiver i takes from sender j.

use engine::rng::Stream;
use engine::{Matrix, Params, Tape};
use models::gnn::{Dataset, Dropout, Network};

use crate::authors::tuned;
use crate::graph_dynamics::{network, small};

pub(crate) type Dense = Matrix<f64>;

/// The settings that the references are written for, as far as a network has them. Gamma(1/2) = sqrt(pi).
const SETTINGS: &str = "hidden = 8\nheads = 2\nlayers = 3\norder = 0.5\ntime = 2.0\nstep = 0.5\nsolver = \"euler\"\n\
    teleport = 0.1\nlambda = 0.5\npowers = 3\n";
const STEPS: usize = 4;
const STEP: f64 = 0.5;
const TELEPORT: f64 = 0.1;
const LAMBDA: f64 = 0.5;
const DIFFUSION: f64 = 0.5;
const AGGREGATION: f64 = 0.5;

pub(crate) fn product(a: &Dense, b: &Dense) -> Dense {
    assert_eq!(a.cols(), b.rows());
    Dense::from_fn(a.rows(), b.cols(), |i, j| (0..a.cols()).map(|k| a[(i, k)] * b[(k, j)]).sum())
}

/// A x: node i takes sum_j A_ij x_j.
pub(crate) fn listen(a: &Dense, x: &Dense) -> Dense {
    product(x, &Dense::from_fn(a.cols(), a.rows(), |i, j| a[(j, i)]))
}

pub(crate) fn map(x: &Dense, f: impl Fn(f64) -> f64) -> Dense {
    Dense::from_fn(x.rows(), x.cols(), |i, j| f(x[(i, j)]))
}

pub(crate) fn zip(x: &Dense, y: &Dense, f: impl Fn(f64, f64) -> f64) -> Dense {
    Dense::from_fn(x.rows(), x.cols(), |i, j| f(x[(i, j)], y[(i, j)]))
}

pub(crate) fn relu(x: &Dense) -> Dense {
    map(x, |v| v.max(0.0))
}

pub(crate) fn logistic(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// y below x.
pub(crate) fn stack(x: &Dense, y: &Dense) -> Dense {
    let both = |i, j| if i < x.rows() { x[(i, j)] } else { y[(i - x.rows(), j)] };
    Dense::from_fn(x.rows() + y.rows(), x.cols(), both)
}

/// Each row's exponentials where there is an edge, divided by their sum.
pub(crate) fn softmax(edges: &Dense, scores: &Dense) -> Dense {
    let e = zip(edges, scores, |a, s| if a > 0.0 { s.exp() } else { 0.0 });
    let total: Vec<f64> = (0..e.rows()).map(|i| (0..e.cols()).map(|j| e[(i, j)]).sum()).collect();
    Dense::from_fn(e.rows(), e.cols(), |i, j| e[(i, j)] / total[i])
}

/// Rows begin..end.
pub(crate) fn rows(x: &Dense, begin: usize, end: usize) -> Dense {
    Dense::from_fn(end - begin, x.cols(), |i, j| x[(begin + i, j)])
}

pub(crate) struct Reference<'a> {
    pub(crate) name: &'a str,
    pub(crate) params: &'a Params<f64>,
    pub(crate) data: &'a Dataset,
}

impl Reference<'_> {
    pub(crate) fn param(&self, name: &str) -> Dense {
        let id = self.params.find(name).unwrap_or_else(|| panic!("no parameter {name}"));
        Dense::from_vec(id.shape.rows, id.shape.cols, self.params.view(id).data.to_vec())
    }
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.param(name)[(0, 0)]
    }
    /// W x + b.
    pub(crate) fn linear(&self, name: &str, x: &Dense) -> Dense {
        let (y, b) =
            (product(&self.param(&format!("{name}.weight")), x), self.param(&format!("{name}.bias")));
        Dense::from_fn(y.rows(), y.cols(), |i, j| y[(i, j)] + b[(i, 0)])
    }
    pub(crate) fn features(&self) -> Dense {
        let of = |i, j: usize| f64::from(self.data.features.get(j, i));
        Dense::from_fn(self.data.features.cols(), self.data.nodes(), of)
    }
    /// The weights of the edges, and ones on the diagonal with `loops`.
    pub(crate) fn edges(&self, loops: bool) -> Dense {
        let n = self.data.nodes();
        let mut a = Dense::from_fn(n, n, |i, j| if loops && i == j { 1.0 } else { 0.0 });
        for (k, (i, j)) in self.data.edges.iter().enumerate() {
            a[(*i as usize, *j as usize)] = self.data.edge_weights.get(k).map_or(1.0, |w| f64::from(*w));
        }
        a
    }
    /// Ones on the edges, whatever they weigh, and on the diagonal with `loops`.
    pub(crate) fn ones(&self, loops: bool) -> Dense {
        map(&self.edges(loops), |w| if w > 0.0 { 1.0 } else { 0.0 })
    }
    pub(crate) fn encoded(&self) -> Dense {
        self.linear("encoder", &self.features())
    }
    /// tanh(x + W tanh x + b), x after a ReLU, then linear.
    pub(crate) fn decoded(&self, x: &Dense) -> Dense {
        let x = relu(x);
        let change = self.linear("decoder.1", &map(&x, f64::tanh));
        self.linear("decoder", &zip(&x, &change, |x, c| (x + c).tanh()))
    }
    /// Explicit steps of dx/dt = f(x, x_0) from the encoder's state.
    pub(crate) fn euler(&self, f: impl Fn(&Dense, &Dense) -> Dense) -> Dense {
        let first = self.encoded();
        let step = |x: Dense, _| zip(&x, &f(&x, &first), |x, v| x + STEP * v);
        self.decoded(&(0..STEPS).fold(first.clone(), step))
    }
    /// s(alpha) for each channel.
    pub(crate) fn squashed(&self, name: &str, channel: usize) -> f64 {
        let c = self.param(name);
        logistic(c[(if c.rows() == 1 { 0 } else { channel }, 0)])
    }
    /// The mean of D^-1/2 A D^-1/2 and the like: A with loops by rows.
    pub(crate) fn row(&self, loops: bool) -> Dense {
        by_rows(&self.edges(loops))
    }
    pub(crate) fn symmetric(&self) -> Dense {
        by_both(&self.edges(true))
    }
    /// A x - x.
    pub(crate) fn diffusion(&self, x: &Dense) -> Dense {
        zip(&listen(&self.row(true), x), x, |y, x| y - x)
    }

    fn mlp(&self) -> Dense {
        let x = relu(&self.encoded());
        self.linear("decoder", &relu(&self.linear("layer.2", &x)))
    }

    fn gcn(&self) -> Dense {
        let a = self.symmetric();
        let x = listen(&a, &self.linear("layer.1", &self.features()));
        let x = listen(&a, &self.linear("layer.2", &relu(&x)));
        listen(&a, &self.linear("layer.3", &relu(&x)))
    }

    pub(crate) fn gat(&self, f: impl Fn(f64) -> f64) -> Dense {
        let layer = |x: &Dense, name: &str, heads: usize| {
            let x = self.linear(name, x);
            let (own, other) =
                (self.param(&format!("{name}.listening")), self.param(&format!("{name}.heard")));
            let size = x.rows() / heads;
            let head = |h: usize| {
                let x = rows(&x, h * size, (h + 1) * size);
                let score =
                    |a: &Dense, i: usize| (0..size).map(|k| a[(h * size + k, 0)] * x[(k, i)]).sum::<f64>();
                let s = Dense::from_fn(x.cols(), x.cols(), |i, j| score(&own, i) + score(&other, j));
                listen(&softmax(&self.ones(true), &map(&s, |v| v.max(0.2 * v))), &x)
            };
            (1..heads).fold(head(0), |above, h| stack(&above, &head(h)))
        };
        let x = layer(&self.features(), "layer.1", 2);
        let x = layer(&map(&x, &f), "layer.2", 2);
        layer(&map(&x, &f), "layer.3", 1)
    }

    fn sage(&self) -> Dense {
        let layer = |x: &Dense, l: usize| {
            let mean = listen(&self.row(false), &self.linear(&format!("layer.{l}.mean"), x));
            zip(&self.linear(&format!("layer.{l}.own"), x), &mean, |a, b| a + b)
        };
        layer(&relu(&layer(&relu(&layer(&self.features(), 1)), 2)), 3)
    }

    fn gcnii(&self) -> Dense {
        let (a, first) = (TELEPORT, relu(&self.encoded()));
        let layer = |x: Dense, l: usize| {
            let z = zip(&listen(&self.symmetric(), &x), &first, |y, x0| (1.0 - a) * y + a * x0);
            let (b, turned) =
                ((LAMBDA / l as f64 + 1.0).ln(), product(&self.param(&format!("layer.{l}")), &z));
            relu(&zip(&z, &turned, |z, t| (1.0 - b) * z + b * t))
        };
        self.linear("decoder", &(1..=3).fold(first.clone(), layer))
    }

    fn h2gcn(&self) -> Dense {
        let near = self.ones(false);
        let twice = product(&near, &near);
        let far = Dense::from_fn(near.rows(), near.cols(), |i, j| {
            if i != j && near[(i, j)] == 0.0 && twice[(i, j)] > 0.0 { 1.0 } else { 0.0 }
        });
        let (near, far) = (by_both(&self.edges(false)), by_both(&far));
        let mut x = relu(&self.encoded());
        let mut all = x.clone();
        for _ in 0..3 {
            x = stack(&listen(&near, &x), &listen(&far, &x));
            all = stack(&all, &x);
        }
        self.linear("decoder", &all)
    }

    fn gprgnn(&self) -> Dense {
        let (mut x, a) = (self.mlp(), self.symmetric());
        let mut sum = map(&x, |_| 0.0);
        for k in 0..=10 {
            let gamma = self.number(&format!("gamma.{k}"));
            sum = zip(&sum, &x, |s, x| s + gamma * x);
            x = listen(&a, &x);
        }
        sum
    }

    fn graphcon(&self) -> Dense {
        let (h, damping) = (STEP, TELEPORT);
        let (mut x, mut y) = (self.encoded(), self.encoded());
        for _ in 0..3 {
            let force = relu(&listen(&self.symmetric(), &self.linear("coupling", &x)));
            let force = zip(&force, &x, |f, x| f - x);
            y = zip(&y, &force, |y, f| y + h * (f - damping * y));
            x = zip(&x, &y, |x, y| x + h * y);
        }
        self.decoded(&x)
    }

    fn grand(&self) -> Dense {
        let alpha = self.squashed("alpha", 0);
        self.euler(|x, _| map(&self.diffusion(x), |v| alpha * v))
    }

    fn frond(&self) -> Dense {
        // Half a derivative: x_{k+1} = x_0 + sqrt(h) / (1/2 Gamma(1/2)) sum_j (sqrt(k + 1 - j) - sqrt(k - j)) f_j.
        let (first, alpha) = (self.encoded(), self.squashed("alpha", 0));
        let factor = 2.0 * (STEP / std::f64::consts::PI).sqrt();
        let (mut x, mut past) = (first.clone(), Vec::new());
        for k in 0..STEPS {
            past.push(map(&self.diffusion(&x), |v| alpha * v));
            let weight = |j: usize| factor * (((k + 1 - j) as f64).sqrt() - ((k - j) as f64).sqrt());
            let add = |x: Dense, (j, f): (usize, &Dense)| zip(&x, f, |x, f| x + weight(j) * f);
            x = past.iter().enumerate().fold(first.clone(), add);
        }
        self.decoded(&x)
    }

    fn gread(&self, reaction: impl Fn(&Dense) -> Dense) -> Dense {
        let b = self.param("reaction");
        self.euler(|x, _| {
            let (change, r) = (self.diffusion(x), reaction(x));
            let of = |i: usize, j| {
                self.squashed("alpha", i) * change[(i, j)] + self.squashed("beta", i) * b[(i, 0)] * r[(i, j)]
            };
            Dense::from_fn(x.rows(), x.cols(), of)
        })
    }

    fn blurring_sharpening(&self) -> Dense {
        let a = self.row(true);
        self.gread(|x| zip(&listen(&a, x), &listen(&a, &listen(&a, x)), |once, twice| once - twice))
    }

    fn acmp(&self) -> Dense {
        let (a, edges, beta) = (self.row(true), self.ones(true), self.number("repulsion"));
        self.euler(|x, _| {
            Dense::from_fn(x.rows(), x.cols(), |c, i| {
                let force = |j: usize| edges[(i, j)] * (a[(i, j)] - beta) * (x[(c, j)] - x[(c, i)]);
                let pull: f64 = (0..x.cols()).map(force).sum();
                let well = x[(c, i)] * (1.0 - x[(c, i)].powi(2));
                self.squashed("alpha", c) * pull + self.squashed("delta", c) * well
            })
        })
    }

    fn kuramoto(&self) -> Dense {
        // The mean over two heads of 32 numbers, at the initial state.
        let first = self.encoded();
        let of = |name: &str| product(&self.param(name), &first);
        let (q, k) = (of("attention.query"), of("attention.key"));
        let head = |h: usize| {
            let dot =
                |i, j| (32 * h..32 * (h + 1)).map(|a| q[(a, i)] * k[(a, j)]).sum::<f64>() / 32_f64.sqrt();
            softmax(&self.ones(true), &Dense::from_fn(first.cols(), first.cols(), dot))
        };
        let (a, coupling) = (zip(&head(0), &head(1), |a, b| 0.5 * (a + b)), self.number("coupling"));
        self.euler(|x, x0| {
            Dense::from_fn(x.rows(), x.cols(), |c, i| {
                let pull: f64 = (0..x.cols()).map(|j| a[(i, j)] * (x[(c, j)] - x[(c, i)]).sin()).sum();
                x0[(c, i)] + coupling * pull
            })
        })
    }

    fn grade(&self) -> Dense {
        let (w, b) = (self.param("kernel.weight"), self.param("beta"));
        let [own, other] = ["kernel.listening", "kernel.heard"].map(|name| product(&self.param(name), &w));
        self.euler(|x, _| {
            let (p, q) = (product(&own, x), product(&other, x));
            let score = |i, j| p[(0, i)] + q[(0, j)];
            let s = map(&Dense::from_fn(x.cols(), x.cols(), score), |v| v.max(0.2 * v));
            let (change, k) = (self.diffusion(x), listen(&softmax(&self.ones(true), &s), x));
            let of = |c: usize, i| {
                let alpha = DIFFUSION * self.squashed("alpha", c);
                (alpha + AGGREGATION * b[(c, 0)] * k[(c, i)]) * change[(c, i)]
            };
            Dense::from_fn(x.rows(), x.cols(), of)
        })
    }

    fn logits(&self) -> Dense {
        match self.name {
            "mlp" => self.mlp(),
            "gcn" => self.gcn(),
            "gat" => self.gat(|x| x.max(0.0)),
            "sage" => self.sage(),
            "sgc" => (0..3).fold(self.encoded(), |x, _| listen(&self.symmetric(), &x)),
            "gcnii" => self.gcnii(),
            "h2gcn" => self.h2gcn(),
            "gprgnn" => self.gprgnn(),
            "graphcon" => self.graphcon(),
            "grand" => self.grand(),
            "frond" => self.frond(),
            "gread-bs" => self.blurring_sharpening(),
            "gread-fisher" => self.gread(|x| map(x, |x| x * (1.0 - x))),
            "gread-allen-cahn" => self.gread(|x| map(x, |x| x * (1.0 - x * x))),
            "gread-zeldovich" => self.gread(|x| map(x, |x| x * x * (1.0 - x))),
            "gread-source" => {
                let first = self.encoded();
                self.gread(|_| first.clone())
            }
            "gread-filter-bank" => self.gread(|x| zip(x, &listen(&self.row(true), x), |x, y| x + y)),
            "acmp" => self.acmp(),
            "kuramoto" => self.kuramoto(),
            "grade" => self.grade(),
            "tuned-gcn" | "tuned-gat" | "tuned-sage" => tuned(self, false, |_, x| x),
            other => panic!("{other} has no reference"),
        }
    }
}

/// The sum of each row; 1 where there is nothing to divide.
fn degrees(a: &Dense) -> Vec<f64> {
    let sum = |i: usize| (0..a.cols()).map(|j| a[(i, j)]).sum::<f64>();
    (0..a.rows()).map(|i| if sum(i) > 0.0 { sum(i) } else { 1.0 }).collect()
}

/// D^-1 A.
pub(crate) fn by_rows(a: &Dense) -> Dense {
    let d = degrees(a);
    Dense::from_fn(a.rows(), a.cols(), |i, j| a[(i, j)] / d[i])
}

/// D^-1/2 A D^-1/2.
pub(crate) fn by_both(a: &Dense) -> Dense {
    let d = degrees(a);
    Dense::from_fn(a.rows(), a.cols(), |i, j| a[(i, j)] / (d[i] * d[j]).sqrt())
}

#[test]
fn every_network_is_its_equations() {
    let data = small();
    Network::NAMES.iter().for_each(|name| compare(name, &data));
}

#[test]
fn weights_of_edges_are_in_the_matrix_of_every_network_that_has_a_place_for_them() {
    let mut data = small();
    // The same in both directions, from 0.2 to 3.
    let weight = |(i, j): &(u32, u32)| 0.2 + 0.7 * ((i * j + i + j) % 5) as f32;
    data.edge_weights = data.edges.iter().map(weight).collect();
    let takes = |name: &&&str| network(name, SETTINGS).settings().takes_weights();
    let weighted: Vec<_> = Network::NAMES.iter().filter(takes).collect();
    assert!(weighted.len() >= 15, "{weighted:?}");
    weighted.into_iter().for_each(|name| compare(name, &data));
}

/// The network on the data against its reference.
fn compare(name: &str, data: &Dataset) {
    let mut params = Params::new();
    let network = network(name, SETTINGS).build::<f64>(data, &mut params, 1).unwrap();
    // Coefficients that begin at 0 or 1 would hide what they multiply.
    Stream::new(3, "params", 0, 0).fill_normal(params.values_mut());
    params.values_mut().iter_mut().for_each(|p| *p *= 0.4);
    let mut tape = Tape::new();
    let mut g = tape.record(params.values());
    let logits = network.forward(&mut g, &mut Dropout::off()).logits;
    let want = Reference { name, params: &params, data }.logits();
    for (got, want) in g.value(logits).data.iter().zip(want.data()) {
        assert!((got - want).abs() < 1e-11 * want.abs().max(1.0), "{name}: {got}, not {want}");
    }
    assert!(want.data().iter().all(|v| v.abs() < 1e3), "{name}: {want:?}");
}
