//! All property tests in one program: each of them is generic code compiled anew, and most of it is common to them.

mod blocks;
mod cases;
mod dense_networks;
mod egnn;
mod egnn_update;
mod estimators;
mod flow;
mod graph_dynamics;
mod graph_gradients;
mod graph_learning;
mod graph_ops;
mod integrators;
mod learning;
mod mean_free;
mod metrics;
mod mixture;
mod networks;
mod ops;
mod optim;
mod own_energy;
mod pair;
mod pair_plain;
mod panels;
mod particles;
mod score;
mod values;
