//! The space that a search draws settings from.

use engine::rng::Stream;
use models::gnn::space::{Draw, GraphFacts, Width, rounded};

use crate::classify::{Edges, GraphConfig};
use crate::config::with_values_of;
use crate::run::error::CliError;

/// Draws that are tried until one goes together with the settings that are fixed.
const TRIES: u64 = 1000;

/// The settings of a trial; what does not belong to the network stays, and so do the settings `fixed` (`model.kernel`).
/// Trial 0 is `base` itself.
pub(super) fn draw(
    base: &GraphConfig,
    fixed: &[String],
    graph: &GraphFacts,
    trial: u64,
) -> Result<GraphConfig, CliError> {
    if trial == 0 {
        return Ok(base.clone());
    }
    for attempt in 0..TRIES {
        let drawn = attempted(base, graph, Stream::new(base.seed, "search", trial, attempt));
        let drawn = with_values_of(&drawn, base, fixed)?;
        // Without fixed settings every draw is sound, or its error is worth seeing.
        if fixed.is_empty() || drawn.check().is_ok() {
            return Ok(drawn);
        }
    }
    Err(CliError::usage(format!(
        "--search: no settings that it draws go together with {}; fix fewer of them",
        fixed.join(", ")
    )))
}

fn attempted(base: &GraphConfig, graph: &GraphFacts, stream: Stream) -> GraphConfig {
    let mut config = base.clone();
    let mut draw = Draw::new(graph, stream);
    config.train.learning_rate = rounded(10f64.powf(draw.between(-2.6, -1.5)));
    // Twenty labels a class are learnt by heart unless weights are held back.
    let decay = 10f64.powf(match graph {
        GraphFacts { scarce: true, .. } => draw.between(-3.0, -1.3),
        _ if graph.ample() => draw.between(-6.0, -1.5),
        _ => draw.between(-4.5, -1.5),
    });
    config.train.decay = (decay * 1e6).round() / 1e6;
    let (width, network) = (Width::draw(&mut draw), config.model.settings_mut());
    if let Some(own) = network.width() {
        *own = width;
    }
    // With few labels the protocol's graphs are undirected, and labels go farther in both directions.
    if graph.directed && !graph.scarce && network.uses_edges() && !network.undirected() {
        config.data.edges = draw.one_of(&[Edges::Undirected, Edges::Directed, Edges::Reversed]);
    }
    network.draw(&mut draw);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAPH: GraphFacts =
        GraphFacts { nodes: 200, edges: 800, directed: true, scarce: false, weighted: false };

    fn value(config: &GraphConfig, table: &str, key: &str) -> String {
        toml::Table::try_from(config).unwrap()[table][key].to_string()
    }

    #[test]
    fn fixed_settings_stay_and_others_are_drawn_as_without() {
        let mut base = GraphConfig::default();
        base.train.decay = 0.125;
        let fixed = ["model.kernel", "train.decay", "data.edges"].map(String::from);
        let (mut kernels, mut rates) = (Vec::new(), Vec::new());
        for trial in 1..40 {
            let free = draw(&base, &[], &GRAPH, trial).unwrap();
            let kept = draw(&base, &fixed, &GRAPH, trial).unwrap();
            kernels.push(value(&free, "model", "kernel"));
            for key in ["kernel", "hidden"] {
                let from = if key == "kernel" { &base } else { &free };
                assert_eq!(value(&kept, "model", key), value(from, "model", key), "{trial} {key}");
            }
            assert_eq!((kept.train.decay, kept.data.edges), (0.125, base.data.edges));
            rates.push(kept.train.learning_rate.to_bits());
        }
        kernels.dedup();
        rates.dedup();
        assert!(kernels.len() > 10 && rates.len() > 30);
    }

    #[test]
    fn draws_that_do_not_go_with_what_is_fixed_are_drawn_again() {
        // The sine kernel belongs to the code form: half of the draws have the other.
        let mut base = GraphConfig::default();
        base = crate::config::overlay(&base, "[model]\nkernel = \"sin\"", "test").unwrap();
        let fixed = ["model.kernel".to_string()];
        for trial in 1..40 {
            let drawn = draw(&base, &fixed, &GRAPH, trial).unwrap();
            drawn.check().unwrap();
            assert_eq!(value(&drawn, "model", "form"), "\"code\"");
        }
    }
}
