//! The pairs of particles that hear each other, and the geometry of each.
//!
//! Nodes are the particles of all states of a batch, state after state. An edge (i, j) says that i hears j;
//! edges are listed by i, then by j. Every ordered pair of a state is an edge, or those whose distance in the
//! network's input is below a cut-off.

use engine::Real;

/// What an edge op is made for: the shape of its states, and which pairs are edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairs {
    /// Particles of a state.
    pub particles: usize,
    /// Dimension of the space, 1 to 3.
    pub space: usize,
    /// Pairs farther apart than this in the network's input are no edges; infinite for all pairs.
    pub cutoff: f64,
}

/// One edge.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Edge<T> {
    /// The node that hears.
    pub i: u32,
    /// The node that is heard.
    pub j: u32,
    /// x_i - x_j.
    pub d: [T; 3],
    /// |x_i - x_j|^2.
    pub r2: T,
    /// The same in the network's input.
    pub e0: T,
}

impl Pairs {
    /// Nodes whose edges are worked off together: enough columns for a matrix product at full speed, few
    /// enough for its operands to stay in a second-level cache.
    pub(super) fn block(&self) -> usize {
        const EDGES: usize = 224;
        EDGES.div_ceil((self.particles - 1).max(1))
    }

    /// Most edges of a block.
    pub(super) fn most_edges(&self) -> usize {
        self.block() * (self.particles - 1)
    }

    /// Replaces `edges` by those of the nodes `nodes`, at positions `x` and `origin` (space x nodes each).
    pub(super) fn list<T: Real>(
        &self,
        nodes: std::ops::Range<usize>,
        x: &[T],
        origin: &[T],
        edges: &mut Vec<Edge<T>>,
    ) {
        let (n, space, limit) = (self.particles, self.space, self.cutoff * self.cutoff);
        edges.clear();
        for i in nodes {
            let first = i / n * n;
            for j in (first..first + n).filter(|j| *j != i) {
                let mut edge = Edge { i: i as u32, j: j as u32, ..Edge::default() };
                for k in 0..space {
                    edge.d[k] = x[i * space + k] - x[j * space + k];
                    edge.r2 = edge.d[k].mul_add(edge.d[k], edge.r2);
                    let d0 = origin[i * space + k] - origin[j * space + k];
                    edge.e0 = d0.mul_add(d0, edge.e0);
                }
                if edge.e0.f64() < limit || limit == f64::INFINITY {
                    edges.push(edge);
                }
            }
        }
    }
}
