//! Networks of layers: the settings that they share.

use engine::Real;
use serde::{Deserialize, Serialize};

use super::{Architecture, Build, Classifier, Evolution, kept_states};
use crate::gnn::Dataset;
use crate::gnn::layers::Builder;
use crate::gnn::space::{Draw, Width};
use crate::memory::Part;
use crate::range::{self, Range};

/// What is a network's own beside width and layers.
pub trait Layers: Default + Send + Sync {
    /// Layers unless settings say otherwise.
    const LAYERS: usize = 2;
    /// Most layers.
    const MOST: usize = 4096;
    /// Whether it looks at the edges of the graph.
    const EDGES: bool = true;
    /// Whether its matrix A has a place for weights of edges.
    const WEIGHTS: bool = true;

    /// Whether each layer applies A once, and does nothing else with the neighbours of a node.
    const ONCE: bool = true;

    /// An error if a value is outside its range, or does not go with the width.
    fn check(&self, _: &Width) -> Result<(), String> {
        Ok(())
    }

    /// What it keeps besides a state for each layer, where that may be much.
    fn memory(&self, _: &Dataset) -> Option<Part> {
        None
    }

    /// Draws the number of layers, and its own settings.
    fn draw(&mut self, layers: &mut usize, draw: &mut Draw<'_>) {
        *layers = draw.one_of(&[2, 3]);
    }

    /// The network.
    fn build<T: Real>(&self, width: Width, layers: usize, on: &mut Builder<'_, T>) -> Box<dyn Classifier<T>>;

    /// The network as a dynamical system on states of `channels`, if it is one.
    fn evolution<T: Real>(&self, _: &mut Builder<'_, T>, _: usize) -> Option<Evolution<T>> {
        None
    }
}

/// A network of layers of the kind N.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layered<N> {
    /// Size and dropout.
    #[serde(flatten)]
    pub width: Width,
    /// Layers.
    pub layers: usize,
    /// The network's own settings.
    #[serde(flatten)]
    pub own: N,
}

impl<N: Layers> Default for Layered<N> {
    fn default() -> Self {
        Self { width: Width::default(), layers: N::LAYERS, own: N::default() }
    }
}

impl<N: Layers> Architecture for Layered<N> {
    fn check(&self) -> Result<(), String> {
        range::check(&self.width.ranges())?;
        range::check(&[("model.layers", self.layers as f64, Range::Between(1.0, N::MOST as f64))])?;
        self.own.check(&self.width)
    }

    fn width(&mut self) -> Option<&mut Width> {
        Some(&mut self.width)
    }

    fn set_depth(&mut self, depth: usize) {
        self.layers = depth;
    }

    fn draw(&mut self, draw: &mut Draw<'_>) {
        self.own.draw(&mut self.layers, draw);
    }

    fn uses_edges(&self) -> bool {
        N::EDGES
    }

    fn takes_weights(&self) -> bool {
        N::WEIGHTS
    }

    fn applications(&self) -> Option<usize> {
        match (N::EDGES, N::ONCE) {
            (false, _) => Some(0),
            (true, once) => once.then_some(self.layers),
        }
    }

    fn memory(&self, data: &Dataset, share: f64) -> Vec<Part> {
        let settings = format!("model.layers = {}", self.layers);
        let states = kept_states((data, share), self.width.hidden, self.layers as f64, settings);
        [states].into_iter().chain(self.own.memory(data)).collect()
    }
}

impl<T: Real, N: Layers> Build<T> for Layered<N> {
    fn build(&self, on: &mut Builder<'_, T>) -> Result<Box<dyn Classifier<T>>, String> {
        Ok(self.own.build(self.width, self.layers, on))
    }

    fn evolution(&self, on: &mut Builder<'_, T>, channels: usize) -> Option<Evolution<T>> {
        self.own.evolution(on, channels)
    }
}
