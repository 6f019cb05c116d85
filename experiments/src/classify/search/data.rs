//! The data of a search.

use models::gnn::space::GraphFacts;
use models::gnn::{Dataset, Split};

use crate::classify::{Edges, GraphConfig, splits};
use crate::run::error::CliError;

/// The graph with its edges used in every way that trials may choose, and its splits.
pub(super) struct SearchData {
    uses: Vec<(Edges, Dataset)>,
    pub splits: Vec<Split>,
    pub facts: GraphFacts,
}

impl SearchData {
    pub fn new(data: &Dataset, base: &GraphConfig) -> Result<Self, CliError> {
        let (own, splits_of_own) = splits(data.clone(), &base.data)?;
        base.model.check_data(&own, base.train.share()).map_err(CliError::usage)?;
        let scarce = splits_of_own.iter().all(|s| 10 * s.train.len() < own.nodes());
        let (nodes, edges) = (own.nodes(), own.edges.len());
        let mut uses = vec![(base.data.edges, own)];
        // With few labels trials keep the edges of the base.
        let other = if scarce || data.raw_edges.is_none() { &[][..] } else { &Edges::ALL };
        for edges in other.iter().copied().filter(|edges| *edges != base.data.edges) {
            let mut choice = base.data.clone();
            choice.edges = edges;
            // Directed edges may lack the weights that undirected ones have, or have some that the network cannot take.
            if let Ok((used, _)) = splits(data.clone(), &choice)
                && base.model.check_data(&used, base.train.share()).is_ok()
            {
                uses.push((edges, used));
            }
        }
        let directed = Edges::ALL.iter().all(|edges| uses.iter().any(|(used, _)| used == edges));
        let weighted = uses.iter().any(|(_, used)| !used.edge_weights.is_empty());
        let facts = GraphFacts { nodes, edges, directed, scarce, weighted };
        Ok(Self { uses, splits: splits_of_own, facts })
    }

    pub fn used(&self, edges: Edges) -> &Dataset {
        let found = self.uses.iter().find(|(e, _)| *e == edges);
        &found.unwrap_or(&self.uses[0]).1
    }
}

#[cfg(test)]
mod tests {
    use models::gnn::data::synthetic::BlockModel;

    use super::*;

    /// Facts of a graph with directed edges and many labels.
    fn facts(change: &dyn Fn(&mut Dataset)) -> GraphFacts {
        let mut data =
            BlockModel { nodes: 60, classes: 2, degree: 4.0, homophily: 0.8, features: 2, signal: 1.0 }
                .draw(1);
        data.raw_edges = Some(data.edges.iter().copied().filter(|(u, v)| u < v).collect());
        change(&mut data);
        SearchData::new(&data, &GraphConfig::default()).unwrap().facts
    }

    #[test]
    fn directed_edges_are_drawn_where_they_can_be_used() {
        let of = |facts: GraphFacts| (facts.directed, facts.weighted);
        assert_eq!(of(facts(&|_| ())), (true, false));
        // Without weights of their own directed edges are left out, and the search goes on.
        assert_eq!(of(facts(&|d| d.edge_weights = vec![2.0; d.edges.len()])), (false, true));
        let raw = |d: &mut Dataset| d.raw_weights = vec![2.0; d.edges.len() / 2];
        assert_eq!(of(facts(&raw)), (true, true));
        // With few labels only the edges of the base are used.
        let scarce = |d: &mut Dataset| {
            raw(d);
            d.splits.iter_mut().for_each(|s| s.train.truncate(4));
        };
        assert!(!facts(&scarce).directed);
    }
}
