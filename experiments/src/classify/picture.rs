//! The graph before and after: states in the plane of their principal components, coloured by class.

use models::gnn::Dataset;
use models::gnn::oversmoothing::project::principal_plane;

use crate::plot::{Cloud, Picture, clouds};
use crate::run::error::CliError;

/// Nodes beyond which a picture of all edges shows nothing.
const MOST: usize = 3000;

/// A picture of the states `first` and `last` (rows x nodes each), unless the graph is large.
pub(super) fn draw(
    data: &Dataset,
    model: &str,
    first: &[f32],
    last: &[f32],
) -> Result<Option<Picture>, CliError> {
    if data.nodes() > MOST {
        return Ok(None);
    }
    let cloud = |title: String, x: &[f32]| Cloud {
        title,
        points: principal_plane(x, x.len() / data.nodes().max(1)),
        classes: data.labels.clone(),
        edges: data.edges.iter().filter(|(u, v)| u < v).copied().collect(),
        axes: ["first component", "second component"],
        to_scale: false,
    };
    let name = &data.name;
    clouds(&[
        cloud(format!("{name}: after the encoder"), first),
        cloud(format!("{name}: after {model}"), last),
    ])
    .map(Some)
}
