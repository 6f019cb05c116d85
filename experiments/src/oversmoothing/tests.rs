//! Tests of plans: what is refused before anything is written.

use std::path::Path;

use models::gnn::Dataset;
use models::gnn::FeatureMatrix;
use models::gnn::data::synthetic::karate;

use super::{Arm, OversmoothingConfig, OversmoothingRequest};
use crate::run::error::CliError;

/// The plan of some arms.
fn plan(data: Option<&str>, arms: &[Arm], sets: &[&str]) -> Result<OversmoothingConfig, CliError> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    let plan = OversmoothingConfig::new(&OversmoothingRequest {
        seed: None,
        data,
        layers: 3,
        depths: &[2, 3],
        splits: 1,
        seeds: 1,
        along: false,
        networks: &[],
        arms,
        file: None,
        sets: &sets,
    })?;
    plan.check().map(|()| plan)
}

fn arms(texts: &[&str]) -> Vec<Arm> {
    texts.iter().map(|text| Arm::parse(text).unwrap()).collect()
}

/// The data as they are trained on by arms, if they can be.
fn used(data: &Dataset, texts: &[&str], sets: &[&str]) -> Result<Dataset, String> {
    let plan = plan(Some("karate"), &arms(texts), sets).map_err(|e| e.to_string())?;
    plan.ready(data.clone()).map_err(|e| e.to_string())
}

fn weighted() -> Dataset {
    let mut data = karate();
    data.edge_weights = vec![2.0; data.edges.len()];
    data
}

#[test]
fn what_becomes_of_the_data_is_said_for_all_arms() {
    let (one, other) = ("a=gcn,data.weights=ignore", "b=sage");
    let error = used(&weighted(), &[one, other], &[]).unwrap_err();
    assert!(error.contains("data.weights is \"ignore\" for a and \"use\" for b"), "{error}");
    assert!(error.contains("give --set data.weights=VALUE"), "{error}");
    assert!(used(&weighted(), &["a=gcn,data.scale=row", other], &[]).unwrap_err().contains("data.scale is"));
    assert!(
        used(&weighted(), &["a=gcn,data.metric=roc-auc", other], &[]).unwrap_err().contains("data.metric is")
    );
    assert_eq!(used(&weighted(), &["a=gcn", other], &[]).unwrap().edge_weights.len(), karate().edges.len());
    let all = used(&weighted(), &["a=gcn", other], &["data.weights=ignore"]).unwrap();
    assert!(all.edge_weights.is_empty());
}

#[test]
fn features_are_scaled_as_asked() {
    let mut data = karate();
    data.features = FeatureMatrix::from_rows(34, 2, [1.0, 3.0].repeat(34));
    let row = used(&data, &["a=gcn", "b=sage", "c=mlp"], &["data.scale=row"]).unwrap();
    assert_eq!(row.features.row(0).map(|(_, v)| v).collect::<Vec<f32>>(), [0.25, 0.75]);
    assert_eq!(used(&data, &["a=gcn"], &[]).unwrap().features, data.features);
    let grid = plan(None, &arms(&["a=gcn"]), &["data.scale=row"]).unwrap_err().to_string();
    assert!(grid.contains("data.scale = \"row\" has no effect here"), "{grid}");
}

#[test]
fn an_arm_that_cannot_be_trained_on_the_data_is_refused_before_it_begins() {
    let error = used(&weighted(), &["a=gcn", "b=gat"], &[]).unwrap_err();
    assert!(error.contains("b at depth 2: model.name = gat: attention has no place"), "{error}");
    used(&weighted(), &["a=gcn", "b=gat"], &["data.weights=ignore"]).unwrap();
    let flow = "flow=grade,form=variational,solver=implicit,alpha=channel,beta=channel,attention=false";
    let symmetric = format!("{flow},normalisation=symmetric");
    let error = used(&karate(), &[&symmetric], &[]).unwrap_err();
    assert!(error.contains("flow at depth 2: model.form = \"variational\" wants"), "{error}");
    used(&karate(), &[&format!("{flow},normalisation=row")], &[]).unwrap();
    let mut one_way = karate();
    one_way.edges.remove(0);
    let error = used(&one_way, &[&format!("{flow},normalisation=row")], &[]).unwrap_err();
    assert!(error.contains("wants undirected edges"), "{error}");
    // The same on the grid.
    let on_grid = |normalisation: &str| {
        let text = format!("{flow},normalisation={normalisation}");
        plan(None, &arms(&[&text]), &[]).map_or_else(|e| e.to_string(), |_| String::new())
    };
    assert_eq!(on_grid("row"), "");
    assert!(on_grid("symmetric").contains("flow: model.form = \"variational\" wants"));
}

#[test]
fn the_study_of_depth_that_is_documented_has_a_plan() {
    for file in ["cora.toml", "cora-way.toml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("presets/depth").join(file);
        let arms = Arm::read(&file).unwrap();
        let plan = plan(Some("cora"), &arms, &[]).unwrap();
        assert_eq!(plan.networks.len(), arms.len());
        // Any undirected graph without weights will do.
        plan.ready(karate()).unwrap();
    }
}
