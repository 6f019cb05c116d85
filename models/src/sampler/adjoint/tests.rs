use super::*;
use crate::sampler::dds::tests::{check_two_modes, two_modes};

#[test]
fn two_modes_of_unequal_weight_and_width_get_their_shares() {
    let mut s = Settings::begin(Some([1.6, 0.4]));
    (s.train.batch, s.train.steps, s.replay.capacity) = (256, 1500, 2000);
    (s.replay.refresh_every, s.replay.refresh_samples, s.replay.refresh_steps) = (20, 200, 30);
    (s.network.hidden, s.network.layers, s.network.space_features) = (32, 2, 16);
    let target = two_modes();
    let mut sampler = s.build(&target, 10, 0).unwrap();
    for _ in 0..1500 {
        sampler.step().unwrap();
    }
    // 2000 states to begin with, and 200 in each of 74 refreshes.
    assert_eq!((sampler.evaluations(), sampler.gradients()), (16_800, 16_800));
    // Weights of modes between which no path leads are nearly neutral: raw shares are wrong (0.38 for 0.7 on this seed),
    // and weights of paths mend them.
    check_two_modes(sampler.learned().unwrap(), 40, 0.5);
}

#[test]
fn settings_that_cannot_work_are_named() {
    let said = |change: fn(&mut Settings)| {
        let mut s = Settings::begin(Some([1.6, 0.4]));
        change(&mut s);
        s.build(&two_modes(), 10, 0).err().map_or(String::new(), |e| e.to_string())
    };
    assert_eq!(said(|_| ()), "");
    for (change, want) in [
        (
            (|s| s.replay.refresh_samples = 0) as fn(&mut Settings),
            "replay.refresh_samples = 0 must lie between 1 and 10000000",
        ),
        (|s| s.replay.capacity = 0, "replay.capacity = 0 must lie between 1 and 60000000"),
        (|s| s.replay.refresh_every = 0, "replay.refresh_every = 0 must lie between 1 and 1000000000000"),
        (|s| s.train.batch = 0, "train.batch = 0 must lie between 1 and 1000000"),
        (|s| s.train.score_clip = -1.0, "train.score_clip = -1 must not be negative"),
        (|s| s.network.hidden = 0, "network.hidden = 0 must lie between 1 and 16384"),
    ] {
        assert_eq!(said(change), want);
    }
}
