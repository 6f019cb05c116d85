//! Peers that are shell scripts: one that answers, and all that go wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::files::{KINDS, Kind};
use super::process::{Peer, command};
use super::report::{Row, table};
use super::{peak::Peak, turns};
use crate::workloads::cost::Cost;
use crate::workloads::given::Given;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
/// One that says it is ready and answers every question.
const GOOD: &str = r#"echo 'ready {"name": "good", "results": {"loss": [2.0]}}'; while read word n; do echo "[5.0, 7.0]"; done"#;

fn script(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("peer.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn start(body: &str, limit: Duration) -> Result<Peer, String> {
    start_in(tempfile::tempdir().unwrap().path(), body, limit)
}

/// The same with what it says of errors in a folder that stays.
fn start_in(folder: &Path, body: &str, limit: Duration) -> Result<Peer, String> {
    let given = Given { arrays: Vec::new(), wanted: vec![("loss", vec![2.0])], tolerance: 1e-3 };
    let path = script(folder, body);
    let kind = Kind { framework: "PyTorch", variant: "eager", file: "peer.sh" };
    // Another test's fork may still hold the script open for writing.
    let mut command = command(Path::new("sh"));
    command.arg(path);
    Peer::start(&mut command, &kind, &folder.join("err"), &given, limit)
}

#[test]
fn a_peer_answers_with_its_times() {
    let mut peer = start(GOOD, LONG).unwrap();
    assert_eq!((peer.name.as_str(), peer.difference), ("good", 0.0));
    peer.time(2, LONG).unwrap();
    peer.time(2, LONG).unwrap();
    assert_eq!(peer.ms, [5.0, 7.0, 5.0, 7.0]);
    assert!(peer.time(3, LONG).unwrap_err().contains(r#"answers "[5.0, 7.0]", where 3 times are wanted"#));
}

#[test]
fn a_peer_that_is_none_says_why() {
    let reason = |body: &str, limit| start(body, limit).err().unwrap();
    assert_eq!(reason("echo none it is not installed", LONG), "it is not installed");
    assert_eq!(reason("echo some words >&2; echo last words >&2", LONG), "it ended (last words)");
    assert_eq!(reason("exit 3", LONG), "it ended without a word");
    assert!(reason("echo hello", LONG).starts_with(r#"it answers "hello", where"#));
    assert!(reason("echo ready nothing", LONG).starts_with("it answers \"ready nothing\""));
    let other = reason(r#"echo 'ready {"name": "x", "results": {"loss": [2.1]}}'"#, LONG);
    assert!(other.starts_with("it computes something else: results differ by 5.0e-2"), "{other}");
    assert_eq!(reason(r#"echo 'ready {"name": "x", "results": {}}'"#, LONG), "it gives no loss");
}

#[test]
fn a_peer_that_hangs_is_ended() {
    let begun = Instant::now();
    let reason = start("exec sleep 60", SHORT).err().unwrap();
    assert_eq!(reason, "it says nothing for 0.3 s");
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    let later = r#"echo 'ready {"name": "x", "results": {"loss": [2.0]}}'; read a; exec sleep 60"#;
    let reason = start(later, LONG).unwrap().time(1, SHORT).unwrap_err();
    assert_eq!(reason, "it says nothing for 0.3 s");
}

#[test]
fn turns_go_on_without_a_peer_that_dies() {
    let dies = r#"echo 'ready {"name": "dies", "results": {"loss": [2.0]}}'; read a; echo "[1.0, 1.0]"; read a; echo gone >&2"#;
    let folder = tempfile::tempdir().unwrap();
    let peers = vec![start(GOOD, LONG).unwrap(), start_in(folder.path(), dies, LONG).unwrap()];
    let lost = std::cell::RefCell::new(Vec::new());
    let (ours, peers) =
        turns::take(Box::new(|| std::thread::sleep(Duration::from_millis(1))), peers, 10, |p, why| {
            lost.borrow_mut().push(format!("{} {why}", p.name));
        });
    assert_eq!(ours.len(), 10);
    assert!(ours.iter().all(|ms| *ms >= 1.0), "{ours:?}");
    assert_eq!(*lost.borrow(), ["dies it ended (gone)"]);
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].name.as_str(), peers[0].ms.len()), ("good", 10));
}

#[test]
fn a_table_has_the_best_setting_of_each_framework() {
    let peer = |framework, name: &str, ms: f64| {
        let mut peer = start(GOOD, LONG).unwrap();
        (peer.framework, peer.name, peer.ms) = (framework, name.into(), vec![ms; 3]);
        peer
    };
    let row = Row {
        work: "mlp",
        cost: Cost { flops: 1e8, bytes: 1e6 },
        ours: vec![2.0, 1.0, 9.0],
        peers: vec![
            peer("PyTorch", "eager", 8.0),
            peer("PyTorch", "compiled", 6.0),
            peer("C", "by hand", 4.0),
        ],
    };
    let peak = Peak { flops: 1e11, bytes: 1e10 };
    let text = table(std::slice::from_ref(&row), peak);
    let line: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
    assert!(text.starts_with("ms   metastable  PyTorch  C "), "{text}");
    let number = |k: usize| line[k].parse::<f64>().unwrap();
    assert_eq!((line.len(), [line[0], line[4], line[5], line[10]]), (12, ["mlp", "by", "hand", "flops"]));
    // Ours, PyTorch's better one, C, the ratio; Gflop, MB, the limit and how much of it is reached.
    assert_eq!([1, 2, 3, 6].map(number), [2.0, 6.0, 4.0, 2.0]);
    assert_eq!([7, 8, 9, 11].map(number), [0.1, 1.0, 1.0, 0.5]);
    let lines: Vec<serde_json::Value> =
        row.lines(2, peak).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!((&lines[0]["ratio"], &lines[0]["best_peer"]), (&2.0.into(), &"by hand".into()));
    assert_eq!((&lines[2]["framework"], &lines[2]["median_ms"]), (&"compiled".into(), &6.0.into()));
}

#[test]
fn frameworks_stand_together() {
    let mut seen = Vec::new();
    for kind in KINDS {
        if seen.last() != Some(&kind.framework) {
            assert!(!seen.contains(&kind.framework), "{}", kind.framework);
            seen.push(kind.framework);
        }
    }
}
