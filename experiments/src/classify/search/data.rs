//! The data of a search.

use models::gnn::space::GraphFacts;
use models::gnn::{Dataset, Split};

use crate::classify::{DataChoice, Edges, splits};
use crate::run::error::CliError;

/// The graph with its edges used in every way that trials may choose, and its splits.
pub(super) struct SearchData {
    uses: Vec<(Edges, Dataset)>,
    pub splits: Vec<Split>,
    pub facts: GraphFacts,
}

impl SearchData {
    pub fn new(data: &Dataset, choice: &DataChoice) -> Result<Self, CliError> {
        let directed = data.raw_edges.is_some();
        let mut uses = Vec::new();
        let (own, splits_of_own) = splits(data.clone(), choice)?;
        let scarce = splits_of_own.iter().all(|s| 10 * s.train.len() < own.nodes());
        let weighted = !own.edge_weights.is_empty();
        let facts = GraphFacts { nodes: own.nodes(), edges: own.edges.len(), directed, scarce, weighted };
        for edges in [Edges::Undirected, Edges::Directed, Edges::Reversed] {
            if directed || edges == Edges::Undirected {
                let choice = DataChoice { edges, ..choice.clone() };
                uses.push((edges, splits(data.clone(), &choice)?.0));
            }
        }
        Ok(Self { uses, splits: splits_of_own, facts })
    }

    pub fn used(&self, edges: Edges) -> &Dataset {
        let found = self.uses.iter().find(|(e, _)| *e == edges);
        &found.unwrap_or(&self.uses[0]).1
    }
}
