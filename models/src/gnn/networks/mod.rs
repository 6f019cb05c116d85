//! Node classifiers: features of the nodes in, a score for each class out.
//!
//! To add one: write its file (settings with their defaults, ranges and what a search draws; the network itself) and
//! its line in `networks!`. A differential equation needs no file here: its settings stand with it in
//! [`equations`](super::equations).

mod continuous;
mod frond;
mod gat;
mod gcn;
mod gcnii;
mod gprgnn;
mod graphcon;
mod h2gcn;
mod integration;
mod layered;
mod mlp;
mod sage;
mod sgc;
mod tuned;

use engine::{ParamId, Params, Real, Recording, Var};
use serde::{Deserialize, Serialize};

pub use continuous::{Continuous, Ends};
pub use frond::Frond;
pub use gat::Gat;
pub use gcn::Gcn;
pub use gcnii::Gcnii;
pub use gprgnn::Gprgnn;
pub use graphcon::GraphCon;
pub use h2gcn::H2gcn;
pub use integration::{Backward, Integration, LastStep, Solver};
pub use layered::{Layered, Layers};
pub use mlp::Mlp;
pub use sage::Sage;
pub use sgc::Sgc;
pub use tuned::Tuned;

use super::equations::{
    AcmpSettings, GradeSettings, GrandSettings, GreadSettings, KuramotoSettings, Mixing, Shared,
};
use super::layers::Builder;
use super::space::{Draw, Width};
use super::training::Training;
use super::{Dataset, Dropout, FeatureMatrix};
use crate::memory::{self, Part};

/// What a network makes of a graph.
#[derive(Clone, Copy)]
pub struct Outputs {
    /// The state after the encoder (hidden x nodes).
    pub first: Var,
    /// The state before the decoder (hidden x nodes).
    pub last: Var,
    /// classes x nodes.
    pub logits: Var,
}

/// A network with its parameters registered.
pub trait Classifier<T: Real>: Send + Sync {
    /// Records the whole network.
    fn forward(&self, g: &mut Recording<T>, dropout: &mut Dropout) -> Outputs;

    /// Logits in evaluation after several numbers of steps, of which validation chooses one, and the parameter that
    /// keeps it; none if there is nothing to choose.
    fn by_time(&self, _: &mut Recording<T>) -> Option<(ParamId, Vec<(f64, Var)>)> {
        None
    }

    /// Parameters that weight decay leaves alone.
    fn undecayed(&self) -> Vec<ParamId> {
        Vec::new()
    }

    /// The integral over time of the rate of diffusion; none for a network of layers, and where there is no diffusion.
    fn diffusion_units(&self, _: &mut Recording<T>) -> Option<f64> {
        None
    }
}

/// An untrained network as a dynamical system.
pub enum Evolution<T> {
    /// A right-hand side, and the length of a step.
    Equation(Shared<T>, f64),
    /// x <- relu(W A x), W anew in each layer.
    Layers(Mixing<T>),
}

/// What the settings of a network know about themselves.
pub trait Architecture {
    /// An error if a value is outside its range, or values do not go together.
    fn check(&self) -> Result<(), String>;

    /// The settings that almost every network has.
    fn width(&mut self) -> Option<&mut Width>;

    /// Makes it `depth` layers, or steps of length one, deep.
    fn set_depth(&mut self, depth: usize);

    /// Draws the settings that are its own; those of [`Width`] are drawn before.
    fn draw(&mut self, draw: &mut Draw<'_>);

    /// How it is trained unless settings say otherwise.
    fn training(&self) -> Training {
        Training { decay: 5e-4, ..Training::default() }
    }

    /// Whether it looks at the edges of the graph.
    fn uses_edges(&self) -> bool {
        true
    }

    /// Whether its matrix A has a place for weights of edges. Attention makes its own.
    fn takes_weights(&self) -> bool {
        true
    }

    /// An error if it has no meaning on such a graph.
    fn suits(&self, _: &Dataset) -> Result<(), String> {
        Ok(())
    }

    /// Whether edges must lead both ways.
    fn undirected(&self) -> bool {
        false
    }

    /// How many times a state passes through A, where that is all that it does with its neighbours; none elsewhere.
    fn applications(&self) -> Option<usize> {
        None
    }

    /// Turns aggregation off; whether there is one.
    fn ablate(&mut self) -> bool {
        false
    }

    /// What else than the learning rate may be changed where training diverges.
    fn remedy(&self) -> &'static str {
        ""
    }

    /// What a training keeps besides the parameters, where that may be much, if its steps are on a share of the nodes.
    fn memory(&self, _: &Dataset, _: f64) -> Vec<Part> {
        Vec::new()
    }
}

/// The states that a backward pass on a share of the nodes needs, `count` of them, and their gradients; or the two of the
/// whole graph that an evaluation holds, where these are more.
fn kept_states((data, share): (&Dataset, f64), hidden: usize, count: f64, settings: String) -> Part {
    let all = data.nodes() as f64;
    let (nodes, states) = if share * count >= 1.0 { ((share * all).ceil(), 2.0 * count) } else { (all, 2.0) };
    let bytes = size_of::<f32>() as f64 * nodes * hidden as f64 * states;
    (format!("model.hidden = {hidden}, {settings} on {nodes} nodes"), bytes)
}

/// How settings become a network.
pub trait Build<T: Real> {
    /// The network, with its parameters; an error if its solver cannot be made.
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String>;

    /// The network as a dynamical system on states of `channels`, if it is one.
    fn evolution(&self, _: &mut Builder<'_, T>, _: usize) -> Option<Evolution<T>> {
        None
    }
}

macro_rules! networks {
    ($($name:literal => $variant:ident($settings:ty),)*) => {
        /// A network with its settings. In a configuration `name` says which, and the settings stand beside it.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name")]
        pub enum Network {
            $(#[doc = concat!("`", $name, "`")] #[serde(rename = $name)] $variant($settings),)*
        }

        impl Network {
            /// The names of all networks.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The network of a name, with its defaults.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant(<$settings>::default())),)*
                    _ => None,
                }
            }

            /// Its name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// Its settings.
            pub fn settings(&self) -> &dyn Architecture {
                match self {
                    $(Self::$variant(settings) => settings,)*
                }
            }

            /// Its settings, to change them.
            pub fn settings_mut(&mut self) -> &mut dyn Architecture {
                match self {
                    $(Self::$variant(settings) => settings,)*
                }
            }

            fn builder<T: Real>(&self) -> &dyn Build<T> {
                match self {
                    $(Self::$variant(settings) => settings,)*
                }
            }
        }
    };
}

networks! {
    "grade" => Grade(Continuous<GradeSettings>),
    "grand" => Grand(Continuous<GrandSettings>),
    "gread-bs" => GreadBs(Continuous<GreadSettings<0>>),
    "gread-fisher" => GreadFisher(Continuous<GreadSettings<1>>),
    "gread-allen-cahn" => GreadAllenCahn(Continuous<GreadSettings<2>>),
    "gread-zeldovich" => GreadZeldovich(Continuous<GreadSettings<3>>),
    "gread-source" => GreadSource(Continuous<GreadSettings<4>>),
    "gread-filter-bank" => GreadFilterBank(Continuous<GreadSettings<5>>),
    "acmp" => Acmp(Continuous<AcmpSettings>),
    "graphcon" => GraphCon(GraphCon),
    "kuramoto" => Kuramoto(Continuous<KuramotoSettings>),
    "frond" => Frond(Frond),
    "gcn" => Gcn(Layered<Gcn>),
    "gat" => Gat(Layered<Gat>),
    "sage" => Sage(Layered<Sage>),
    "gcnii" => Gcnii(Layered<Gcnii>),
    "h2gcn" => H2gcn(Layered<H2gcn>),
    "gprgnn" => Gprgnn(Layered<Gprgnn>),
    "mlp" => Mlp(Layered<Mlp>),
    "sgc" => Sgc(Sgc),
    "tuned-gcn" => TunedGcn(Layered<Tuned<0>>),
    "tuned-gat" => TunedGat(Layered<Tuned<1>>),
    "tuned-sage" => TunedSage(Layered<Tuned<2>>),
}

impl Default for Network {
    fn default() -> Self {
        Self::Grade(Continuous::default())
    }
}

impl Network {
    /// The network for a graph, with its parameters. Whether there is memory for a training, [`Network::check_data`]
    /// tells.
    ///
    /// # Errors
    /// A setting is outside its range, or settings do not go together, or the data are broken.
    pub fn build<T: Real>(
        &self,
        data: &Dataset,
        params: &mut Params<T>,
        seed: u64,
    ) -> Result<Box<dyn Classifier<T>>, String> {
        self.check_data(data, 0.0)?;
        data.problem().map_or(Ok(()), Err)?;
        self.builder().build(&mut Builder::new(data, params, seed))
    }

    /// Whether it can be trained on a graph in steps on a share of the nodes: it has a place for weights of edges if
    /// there are some, it has a meaning on such edges, and there is memory, which is asked before any is taken.
    ///
    /// # Errors
    /// How to do without the weights; what its edges must be; or the settings that take the most memory, with an
    /// estimate.
    pub fn check_data(&self, data: &Dataset, share: f64) -> Result<(), String> {
        self.settings().check()?;
        if !data.edge_weights.is_empty() && !self.settings().takes_weights() {
            let (name, data) = (self.name(), &data.name);
            return Err(format!(
                "model.name = {name}: attention has no place for the weights that edges of {data} have; set data.weights=ignore, or do without attention"
            ));
        }
        self.settings().suits(data)?;
        self.check_memory(data, share)
    }

    fn check_memory(&self, data: &Dataset, share: f64) -> Result<(), String> {
        let mut params = Params::<f32>::counting();
        // The same parameters as on the graph, at once.
        let features = FeatureMatrix::zero(1, data.features.cols());
        let node = Dataset::new("", Vec::new(), features, vec![0], data.classes);
        self.builder().build(&mut Builder::new(&node, &mut params, 0))?;
        // With a gradient, Adam's moments, and those of the best epoch.
        let bytes = 5.0 * size_of::<f32>() as f64 * params.len() as f64;
        let mut parts = self.settings().memory(data, share);
        let width = self.clone().settings_mut().width().map(|w| format!(" and model.hidden = {}", w.hidden));
        let (name, width) = (self.name(), width.unwrap_or_default());
        parts.push((format!("model.name = {name}{width} with {} parameters", params.len()), bytes));
        memory::check(&parts)
    }

    /// The network as a dynamical system on states of `channels`; none if it is not one.
    ///
    /// # Errors
    /// A setting is outside its range, or settings do not go together, or do not suit the data, or these are broken.
    pub fn evolution<T: Real>(
        &self,
        data: &Dataset,
        params: &mut Params<T>,
        channels: usize,
        seed: u64,
    ) -> Result<Option<Evolution<T>>, String> {
        self.settings().check()?;
        data.problem().map_or(Ok(()), Err)?;
        self.settings().suits(data)?;
        Ok(self.builder().evolution(&mut Builder::new(data, params, seed), channels))
    }

    /// The same without aggregation; none if it has none.
    pub fn ablation(&self) -> Option<Self> {
        let mut other = self.clone();
        other.settings_mut().ablate().then_some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::equations::Form;
    use super::*;
    use crate::gnn::Normalisation;

    #[test]
    fn defaults_are_sound_and_values_out_of_range_are_named() {
        let defaults = Network::NAMES.iter().map(|name| Network::named(name).unwrap());
        defaults.for_each(|network| network.settings().check().unwrap());
        let error = |network: Network| network.settings().check().err().unwrap_or_default();
        let mut gprgnn = Layered::<Gprgnn>::default();
        gprgnn.own.teleport = 2.0;
        assert!(error(Network::Gprgnn(gprgnn)).contains("model.teleport = 2 must"));
        let frond = Frond { order: 0.0, ..Default::default() };
        assert!(error(Network::Frond(frond)).contains("model.order = 0 must"));
        let mut gcnii = Layered::<Gcnii>::default();
        gcnii.own.lambda = -5.0;
        assert!(error(Network::Gcnii(gcnii)).contains("model.lambda = -5 must"));
        let mut wide = Layered::<Gcn>::default();
        wide.width.hidden = 65_536;
        assert!(error(Network::Gcn(wide)).contains("between 1 and 16384"));
        let h2gcn = Layered { layers: 4, ..Default::default() };
        assert!(error(Network::H2gcn(h2gcn)).contains("model.layers = 4 must lie between 1 and 3"));
        assert_eq!(error(Network::Gcn(Layered { layers: 4, ..Default::default() })), "");
    }

    /// A star: its leaves are all at distance two of each other.
    fn star(leaves: u32) -> Dataset {
        let edges: Vec<(u32, u32)> =
            (1..=leaves).map(|i| (0, i)).chain((1..=leaves).map(|i| (i, 0))).collect();
        let nodes = leaves as usize + 1;
        Dataset::new("star", edges, FeatureMatrix::zero(nodes, 3), vec![0; nodes], 2)
    }

    /// What is said up to what the machine has.
    fn refused(network: Network, data: &Dataset) -> String {
        let error = network
            .check_data(data, 1.0)
            .and_then(|()| network.build::<f32>(data, &mut Params::new(), 0).map(|_| ()));
        let error = error.err().unwrap_or_default();
        error.split(" are needed").next().unwrap_or_default().to_string()
    }

    #[test]
    fn a_graph_of_two_hops_that_no_machine_holds_is_not_built() {
        let h2gcn = Network::named("h2gcn").unwrap();
        let pairs = "model.name = h2gcn with up to 999999000000 pairs of nodes at distance two";
        assert_eq!(refused(h2gcn.clone(), &star(1_000_000)), format!("{pairs}: about 69 TiB of memory"));
        assert_eq!(refused(h2gcn, &star(100)), "");
        assert_eq!(refused(Network::named("gcn").unwrap(), &star(100_000)), "");
    }

    #[test]
    fn attention_has_no_place_for_weights() {
        let mut data = star(3);
        data.edge_weights = vec![2.0; data.edges.len()];
        for name in Network::NAMES {
            let mut network = Network::named(name).unwrap();
            let said = refused(network.clone(), &data);
            match *name {
                "gat" | "tuned-gat" | "kuramoto" => {
                    assert!(said.contains("attention has no place"), "{said}")
                }
                _ => assert_eq!(said, "", "{name}"),
            }
            if let Network::Kuramoto(kuramoto) = &mut network {
                kuramoto.mixing.attention = false;
                assert_eq!(refused(network, &data), "");
            }
        }
        data.edge_weights.pop();
        let gcn = Network::named("gcn").unwrap();
        assert_eq!(refused(gcn, &data), "there are 5 weights of 6 edges");
    }

    #[test]
    fn edges_that_an_equation_has_no_meaning_on_are_refused_before_anything_is_built() {
        let mut grade = Continuous::<GradeSettings>::default();
        grade.equation.form = Form::Variational;
        grade.integration.solver = Solver::Implicit;
        (grade.mixing.attention, grade.mixing.normalisation) = (false, Normalisation::Row);
        let error = |grade: &Continuous<GradeSettings>, data: &Dataset| {
            let network = Network::Grade(grade.clone());
            let checked = network.check_data(data, 1.0).err().unwrap_or_default();
            let evolved = network.evolution::<f32>(data, &mut Params::new(), 2, 0).err().unwrap_or_default();
            assert_eq!(checked, evolved);
            checked
        };
        let mut data = star(3);
        data.edges.sort_unstable();
        assert_eq!(error(&grade, &data), "");
        data.edges.retain(|edge| *edge != (2, 0));
        assert!(error(&grade, &data).contains("wants undirected edges, and (2, 0) is missing"));
        grade.mixing.normalisation = Normalisation::Symmetric;
        assert!(error(&grade, &star(3)).contains("wants model.normalisation"));
        grade.equation.form = Form::Paper;
        grade.integration.solver = Solver::Euler;
        assert_eq!(error(&grade, &data), "");
    }

    #[test]
    fn products_of_settings_that_no_machine_holds_are_named() {
        let data = star(100);
        let wide = Width { hidden: 16_384, ..Width::default() };
        for name in Network::NAMES {
            let mut network = Network::named(name).unwrap();
            network.settings_mut().set_depth(1);
            assert_eq!(refused(network, &data), "", "{name}");
        }
        let gcn = Layered { layers: 4096, width: wide, ..Default::default() };
        assert_eq!(
            refused(Network::Gcn(gcn), &data),
            "model.name = gcn and model.hidden = 16384 with 1099041931266 parameters: about 20 TiB of memory"
        );
        let mut grade = Continuous::<GradeSettings>::default();
        grade.ends.width = wide;
        (grade.integration.time, grade.integration.step) = (1e5, 1.0);
        (grade.integration.solver, grade.integration.backward) = (Solver::Euler, Backward::Tape);
        let many = Dataset { labels: vec![0; 1_000_000], ..data };
        let mut narrow = grade.clone();
        narrow.ends.width.hidden = 64;
        let (grade, narrow) = (Network::Grade(grade), Network::Grade(narrow));
        // A step on a part of the nodes takes as much less; an evaluation is of all nodes.
        assert_eq!(narrow.check_data(&many, 1e-8), Ok(()));
        assert!(narrow.check_data(&many, 1.0).is_err());
        let wide = grade.check_data(&many, 1e-8).err().unwrap_or_default();
        assert!(wide.contains("on 1000000 nodes: about 127 GiB"), "{wide}");
        assert_eq!(
            refused(grade, &many),
            "model.hidden = 16384, model.time = 100000.0, model.step = 1.0 on 1000000 nodes: about 12 PiB of memory"
        );
    }
}
