//! An equivariant score network for particles: EGNN (Satorras, Hoogeboom and Welling 2021).

mod coordinates;
mod edges;
mod kernels;
mod messages;
mod network;
mod update;

use std::sync::Arc;

use engine::{ParamId, Params, Real, Recording, Var};

pub use edges::Pairs;
pub use messages::Messages;
pub use network::{Scales, ScoreEgnn};
pub use update::Update;

/// Sizes of an EGNN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EgnnConfig {
    /// The states and their edges.
    pub pairs: Pairs,
    /// H, features of a particle.
    pub hidden: usize,
    /// L, layers.
    pub layers: usize,
}

/// A linear map's weight and bias.
#[derive(Clone, Copy)]
struct Affine(ParamId, ParamId);

impl Affine {
    fn new<T: Real>(
        params: &mut Params<T>,
        name: &str,
        (inputs, outputs): (usize, usize),
        gain: f64,
        seed: u64,
    ) -> Self {
        let w = params.add_weight(format!("{name}.weight"), outputs, inputs, gain, seed);
        Self(w, params.add_zeros(format!("{name}.bias"), outputs, 1))
    }

    fn vars<T: Real>(self, g: &mut Recording<T>) -> [Var; 2] {
        [g.param(self.0), g.param(self.1)]
    }
}

/// One layer's parameters.
struct Layer {
    edge: [Affine; 2],
    attention: Affine,
    coordinate: [Affine; 2],
    node: [Affine; 2],
}

/// L layers of an EGNN (Satorras, Hoogeboom and Welling 2021): messages and moves of the coordinates
/// ([`Messages`]), then the update of the nodes ([`Update`]). [`ScoreEgnn`] adds the embedding of the noise
/// level and the scaling.
///
/// The last layer's node update does not affect the output and is not computed; its parameters exist all the
/// same. Parameters have the names and shapes of the authors' code, so that checkpoints can be compared with
/// other implementations: `gcl_0.edge_mlp.0.weight` is H x (2 H + 2), and so on.
pub struct Egnn<T> {
    config: EgnnConfig,
    /// Of the first layer, in which the particles of a state have the same h, and of the others.
    messages: [Arc<Messages<T>>; 2],
    update: [Arc<Update<T>>; 2],
    layers: Vec<Layer>,
}

impl<T: Real> Egnn<T> {
    /// Adds the layers' parameters to `params`.
    pub fn new(config: EgnnConfig, params: &mut Params<T>, seed: u64) -> Self {
        let h = config.hidden;
        let layer = |l: usize| {
            let mut affine =
                |name: &str, sizes, gain| Affine::new(params, &format!("gcl_{l}.{name}"), sizes, gain, seed);
            Layer {
                // SiLU about halves the scale of its input.
                edge: [affine("edge_mlp.0", (2 * h + 2, h), 1.0), affine("edge_mlp.2", (h, h), 1.5)],
                attention: affine("att_mlp.0", (h, 1), 1.0),
                // With a small last weight, positions hardly move at the start of training.
                coordinate: [affine("coord_mlp.0", (h, h), 1.5), affine("coord_mlp.2", (h, 1), 0.01)],
                node: [affine("node_mlp.0", (2 * h, h), 1.5), affine("node_mlp.2", (h, h), 1.0)],
            }
        };
        let layers = (0..config.layers).map(layer).collect();
        let (messages, update) = (Messages::new(config.pairs), Update::new(config.pairs));
        let messages = [messages.for_uniform_nodes(), messages].map(Arc::new);
        let update = [update.for_uniform_nodes(), update].map(Arc::new);
        Self { config, messages, update, layers }
    }

    /// The positions after all layers, from node features `h` (H x nodes), equal for all particles of a state,
    /// and positions `x` (space x nodes). The gradient of a state's features is added to its first particle.
    pub fn record(&self, g: &mut Recording<T>, mut h: Var, x: Var) -> Var {
        let (hidden, mut at) = (self.config.hidden, x);
        for (l, layer) in self.layers.iter().enumerate() {
            let [e1, b1] = layer.edge[0].vars(g);
            let [e2, b2] = layer.edge[1].vars(g);
            let [a, a0] = layer.attention.vars(g);
            let [c, c1] = layer.coordinate[0].vars(g);
            let [w, w0] = layer.coordinate[1].vars(g);
            let inputs = [h, at, x, e1, b1, e2, b2, a, a0, c, c1, w, w0];
            let which = usize::from(l > 0);
            let out = g.apply(self.messages[which].clone(), &inputs);
            at = g.slice_rows(out, hidden..hidden + self.config.pairs.space);
            if l + 1 < self.layers.len() {
                let ([n1, b1], [n2, b2]) = (layer.node[0].vars(g), layer.node[1].vars(g));
                h = g.apply(self.update[which].clone(), &[h, out, n1, b1, n2, b2]);
            }
        }
        at
    }
}
