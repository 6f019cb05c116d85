use models::audit::Level;
use models::evaluate::modes::{Mode, ModesFound, Share};
use serde_json::json;

use super::super::{Request, configure};
use super::*;

fn mode(weight: f64, free_energy: f64) -> Mode {
    Mode {
        share: Share { weight, weight_error: 0.01, free_energy, free_energy_error: 0.1 },
        raw: 0.5,
        samples: 50,
        energy: -1.25,
        centre: vec![1.0; 9],
        widths: vec![0.5; 9],
    }
}

fn html(failures: &[String], modes: &Modes) -> String {
    let config = configure(&Request { target: Some("gmm40"), ..Default::default() }).unwrap();
    let figures = [
        Figure { sd: Some(0.2), floor: Some(4.4), floor_se: Some(0.05), ..Figure::plain("x_w2", 4.5) },
        Figure::plain("energy_evaluations", 1_234_567.0),
        Figure::plain("seconds", 300.0),
    ];
    let said: Vec<Sentence> =
        failures.iter().map(|f| Sentence { level: Level::Bad, text: f.clone(), known: false }).collect();
    let report =
        Report { config: &config, steps: (5, 5), figures: &figures, said: &said, modes, observed: &[] };
    let environment = json!({
        "version": "1", "threads": 2, "cpu": "A <fast> one",
        "command": ["/home/me/bin/sample", "--out", "/home/me/runs/a", "--set=target.data=\"/data/x.csv\"", "--seed", "3"],
    });
    let pictures = [("Samples", "<svg>1</svg>".to_string())];
    report.html("a = \"<b>\" # & more\n", &environment, &pictures)
}

#[test]
fn what_is_text_is_escaped_and_pictures_are_not() {
    let html =
        html(&["<script>alert(1)</script>".into(), "do <this>".into()], &Modes::Skipped("E < 0".into()));
    assert!(!html.contains("<script>") && !html.contains("<fast>") && !html.contains("<this>"), "{html}");
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("A &lt;fast&gt; one"));
    assert!(
        html.contains("a = &quot;&lt;b&gt;&quot; # &amp; more") && html.contains("Not looked for: E &lt; 0")
    );
    assert!(html.contains("<figure><svg>1</svg>"));
}

#[test]
fn the_page_needs_nothing_else_and_shows_no_folder_of_the_machine() {
    let found = ModesFound {
        modes: vec![mode(0.9, 0.0), mode(0.1, f64::INFINITY)],
        descents: 100,
        unfinished: 0,
        effective: 80.0,
        unseen: 0.0,
        evaluations: 3000,
    };
    let html = html(&[], &Modes::Found(found));
    for word in ["http:", "https:", "<script", "<link", "@import", "url(", "/home", "/data", "src="] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("sample --out a --set=target.data=x.csv --seed 3"), "{html}");
    for text in
        ["4.50 ± 0.20", "4.400 ± 0.050", "1\u{202f}234\u{202f}567", "5.0 min", "∞", "0.900 ± 0.010", ", …"]
    {
        assert!(html.contains(text), "{text}");
    }
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    let opened =
        |tag: &str| html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
    for tag in ["section", "table", "tr", "td", "ul", "li", "figure", "details", "div", "dl"] {
        assert_eq!(opened(tag), html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn folders_leave_the_command_and_names_stay() {
    for (word, want) in [
        ("/usr/bin/sample", "sample"),
        ("--out=/tmp/a b/run", "--out=run"),
        ("results/a", "results/a"),
        ("train.batch=256", "train.batch=256"),
        ("~/x.csv", "x.csv"),
        ("C:\\runs\\a", "a"),
        ("--quick", "--quick"),
    ] {
        assert_eq!(without_folders(word), want);
    }
    assert_eq!(without_folders("--set=target.data=\"/data/x.csv\""), "--set=target.data=x.csv");
}
