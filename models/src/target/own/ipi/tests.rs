//! The server against a client of a few lines, which computes E = 1/2 |x|^2 and may misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Instant;

use super::*;
use crate::target::own::batch_energy::Elsewhere;
use crate::target::{Geometry, Target};

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// How a client behaves.
#[derive(Clone, Copy, Default)]
struct Manner {
    asks_for_init: bool,
    /// Goes when it is asked for positions of that number, counted from 1.
    goes_at: Option<usize>,
    /// Does not answer that question.
    silent: bool,
    /// Atoms that it claims to have.
    claims: Option<i32>,
    nan: bool,
    /// Goes when it is told its batch.
    dies_at_init: bool,
}

fn int(stream: &mut dyn Stream) -> i32 {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).unwrap();
    i32::from_le_bytes(bytes)
}

fn reals(stream: &mut dyn Stream, n: usize) -> Vec<f64> {
    let mut bytes = vec![0; 8 * n];
    stream.read_exact(&mut bytes).unwrap();
    bytes.chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The server may have gone by then, where the answer is wrong.
fn tell(stream: &mut dyn Stream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

fn send(stream: &mut dyn Stream, values: &[f64]) {
    values.iter().for_each(|v| tell(stream, &v.to_le_bytes()));
}

/// Serves until it is sent home or goes; returns how many states it had, and the cell.
fn client(address: &Address, manner: Manner) -> JoinHandle<(usize, f64)> {
    let mut stream: Box<dyn Stream> = match address {
        Address::Inet(place) => Box::new(TcpStream::connect(&**place).unwrap()),
        Address::Unix(name) => Box::new(UnixStream::connect(Address::file(name)).unwrap()),
    };
    std::thread::spawn(move || {
        let stream = &mut *stream;
        let (mut states, mut questions, mut batch, mut ready, mut cell) = (0, 0, 1, false, 0.0);
        let mut x = Vec::new();
        let mut word = [0; 12];
        while stream.read_exact(&mut word).is_ok() {
            match std::str::from_utf8(&word).unwrap().trim_end() {
                "STATUS" => {
                    let needs = manner.asks_for_init && !ready;
                    tell(stream, if needs { b"NEEDINIT    " } else { b"READY       " });
                }
                "INIT" => {
                    int(stream);
                    let mut text = vec![0; int(stream) as usize];
                    stream.read_exact(&mut text).unwrap();
                    if manner.dies_at_init {
                        break;
                    }
                    let text = String::from_utf8(text).unwrap();
                    batch = text.strip_prefix("batch_size:").map_or(1, |n| n.parse().unwrap());
                    ready = true;
                }
                "POSDATA" => {
                    questions += 1;
                    if manner.goes_at == Some(questions) {
                        break;
                    }
                    let atoms = if batch > 1 { int(stream) as usize } else { 0 };
                    let cells = reals(stream, 18 * batch);
                    assert!(cells[0] * cells[9] == 1.0 && cells[4] == cells[0] && cells[1] == 0.0);
                    cell = cells[0];
                    let atoms = if batch > 1 { atoms } else { int(stream) as usize };
                    x = reals(stream, 3 * atoms * batch);
                    states += batch;
                }
                "GETFORCE" => {
                    if manner.silent {
                        std::thread::sleep(Duration::from_secs(3));
                        break;
                    }
                    let d = x.len() / batch;
                    let mut e: Vec<f64> =
                        x.chunks(d).map(|x| 0.5 * x.iter().map(|x| x * x).sum::<f64>()).collect();
                    if manner.nan {
                        e[0] = f64::NAN;
                    }
                    tell(stream, b"FORCEREADY  ");
                    send(stream, &e);
                    let atoms = manner.claims.unwrap_or(d as i32 / 3);
                    tell(stream, &atoms.to_le_bytes());
                    let forces: Vec<f64> = x.iter().map(|x| -x).collect();
                    send(stream, &forces);
                    send(stream, &vec![0.0; 9 * batch]);
                    for _ in 0..batch {
                        tell(stream, &3i32.to_le_bytes());
                        tell(stream, b"abc");
                    }
                }
                "EXIT" => break,
                other => panic!("{other}"),
            }
        }
        (states, cell)
    })
}

fn server(config: IpiConfig) -> (Elsewhere<Ipi>, Address) {
    let ipi = Ipi::listen(config).unwrap();
    let address = ipi.address();
    (Elsewhere { energy: ipi, geometry: Geometry::Euclidean(6), offset: 0.0 }, address)
}

fn config() -> IpiConfig {
    IpiConfig {
        address: Address::Inet("localhost:0".into()),
        clients: 1,
        batch: 1,
        timeout: Duration::from_secs(60),
        cell: 64.0,
        shift: 0.0,
    }
}

const STATES: usize = 11;

/// -E and the score at a few states, compared with the exact ones; or what went wrong.
fn evaluate(target: &Elsewhere<Ipi>) -> Result<(), String> {
    let x: Vec<f64> = (0..6 * STATES).map(|i| 0.25 * i as f64 - 3.0).collect();
    let (mut log_p, mut score) = (vec![0.0; STATES], vec![0.0; 6 * STATES]);
    target.evaluate(&x, &mut log_p, &mut score).map_err(|e| e.to_string())?;
    for (l, x) in log_p.iter().zip(x.chunks(6)) {
        assert_eq!(*l, -0.5 * x.iter().map(|x| x * x).sum::<f64>());
    }
    assert!(score.iter().zip(&x).all(|(s, x)| *s == -x));
    target.evaluate(&x, &mut log_p, &mut []).map_err(|e| e.to_string())
}

#[test]
fn clients_of_every_kind_answer_and_are_sent_home() {
    let inits = Manner { asks_for_init: true, ..Manner::default() };
    let (one, several) = (config(), IpiConfig { clients: 2, batch: 4, ..config() });
    let unix = IpiConfig {
        address: Address::Unix(format!("metastable-test-{}", std::process::id())),
        ..several.clone()
    };
    // 22 states are asked for; batches of four are filled up: 4 + 4 + 3, twice.
    for (config, manner, states) in [
        (&one, Manner::default(), 22),
        (&one, inits, 22),
        (&several, Manner::default(), 22),
        (&several, inits, 24),
        (&unix, inits, 24),
    ] {
        let (target, address) = server(config.clone());
        let clients: Vec<_> = (0..config.clients).map(|_| client(&address, manner)).collect();
        evaluate(&target).unwrap();
        drop(target);
        let had: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        assert_eq!(had.iter().map(|(n, _)| n).sum::<usize>(), states);
        assert!(had.iter().all(|(n, cell)| *n == 0 || *cell == 64.0));
        if let Address::Unix(name) = address {
            assert!(!Address::file(&name).exists());
        }
    }
}

#[test]
fn what_a_lost_client_had_goes_to_another_one() {
    let (target, address) = server(IpiConfig { clients: 2, ..config() });
    let goes = |at| Manner { goes_at: Some(at), ..Manner::default() };
    let clients = [client(&address, goes(2)), client(&address, Manner::default())];
    evaluate(&target).unwrap();
    evaluate(&target).unwrap();
    drop(target);
    let [gone, stayed] = clients.map(|client| client.join().unwrap().0);
    assert!(gone <= 1 && gone + stayed == 44, "{gone} {stayed}");
    // Nobody gets through with it: all states are one piece.
    let (target, address) = server(IpiConfig { clients: 4, batch: 16, ..config() });
    let clients = [1; 4].map(|at| client(&address, Manner { asks_for_init: true, ..goes(at) }));
    let said = evaluate(&target).unwrap_err();
    assert!(said.contains("3 clients were lost on the same state; the last closed the connection"), "{said}");
    drop(target);
    assert!(clients.into_iter().all(|client| client.join().is_ok()));
}

#[test]
fn nobody_is_waited_for_longer_than_said() {
    let short = IpiConfig { timeout: Duration::from_millis(100), batch: 16, ..config() };
    let (target, address) = server(short.clone());
    let said = evaluate(&target).unwrap_err();
    let place = format!("clients of i-PI at {address}: ");
    assert_eq!(
        said.split_once(&place).unwrap().1,
        "0 of 1 came within 0.1 s (timeout); start them with this address"
    );
    let silent = Manner { silent: true, asks_for_init: true, ..Manner::default() };
    let clients = [silent; 3].map(|manner| client(&address, manner));
    // All three have come.
    target.energy.server.wait_for(3, Duration::from_secs(60)).unwrap();
    let said = evaluate(&target).unwrap_err();
    assert!(said.ends_with("the last gave no answer in time (timeout)"), "{said}");
    assert!(clients.into_iter().all(|client| client.join().is_ok()));
    // The one who was there went.
    let said = evaluate(&target).unwrap_err();
    assert!(said.ends_with("none was there for 0.1 s (timeout); start one with this address"), "{said}");
}

#[test]
fn others_can_see_that_somebody_is_waited_for() {
    let (target, address) = server(IpiConfig { timeout: Duration::from_secs(60), ..config() });
    let server = &target.energy.server;
    let here = std::thread::scope(|scope| {
        let asked = scope.spawn(|| server.wait_for(1, Duration::from_secs(60)));
        while !crate::target::own::waits() {
            assert!(!asked.is_finished(), "nobody waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        let one = client(&address, Manner::default());
        assert_eq!(asked.join().unwrap(), Ok(1));
        one
    });
    drop(target);
    here.join().unwrap();
}

#[test]
fn what_is_no_answer_is_named() {
    let other = Manner { claims: Some(3), ..Manner::default() };
    let nan = Manner { nan: true, ..Manner::default() };
    for (manner, part) in [
        (other, "a client answers for 3 atoms where the target has 2; give both the same number"),
        (nan, "the energy is NaN at point 0 of 11, x = (-3.0, -2.75, -2.5, -2.25, ...)"),
    ] {
        let (target, address) = server(config());
        let one = client(&address, manner);
        let said = evaluate(&target).unwrap_err();
        assert!(said.contains(part), "{said}");
        drop(target);
        one.join().unwrap();
    }
    let (target, Address::Inet(place)) = server(config()) else { panic!() };
    let mut stream = TcpStream::connect(&*place).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let said = evaluate(&target).unwrap_err();
    assert!(said.ends_with("a client says `GET / HTTP/1` where READY is due"), "{said}");
    let taken = Ipi::listen(IpiConfig { address: Address::Inet(place.clone()), ..config() });
    let said = taken.err().unwrap().to_string();
    assert_eq!(said, format!("{place}: another program listens there; choose another one"));
    let nowhere = Ipi::listen(IpiConfig { address: Address::Inet("nowhere".into()), ..config() });
    assert!(nowhere.err().unwrap().to_string().contains("give a HOST:PORT of this machine"));
}

#[test]
fn a_socket_that_was_left_behind_is_taken_over() {
    let name = format!("metastable-left-{}", std::process::id());
    let unix = IpiConfig { address: Address::Unix(name.clone()), ..config() };
    drop(std::os::unix::net::UnixListener::bind(Address::file(&name)).unwrap());
    let (target, _) = server(unix.clone());
    let said = Ipi::listen(unix).err().unwrap().to_string();
    assert_eq!(said, format!("/tmp/ipi_{name}: another program listens there; choose another one"));
    drop(target);
    assert!(!Address::file(&name).exists());
}

#[test]
fn coordinates_may_be_shifted() {
    let (target, address) = server(IpiConfig { shift: 2.0, ..config() });
    let one = client(&address, Manner::default());
    let mut log_p = [0.0];
    target.evaluate(&[0.0; 6], &mut log_p, &mut []).unwrap();
    assert_eq!(log_p, [-12.0]);
    drop(target);
    one.join().unwrap();
}

#[test]
fn clients_that_die_when_they_begin_are_not_replaced_without_end() {
    let (target, address) = server(config());
    let manner = Manner { asks_for_init: true, dies_at_init: true, ..Manner::default() };
    let clients: Vec<_> = (0..4).map(|_| client(&address, manner)).collect();
    let said = target.evaluate(&[0.0; 6], &mut [0.0], &mut []).unwrap_err().to_string();
    assert!(said.contains("3 clients were lost on the same state"), "{said}");
    drop(target);
    clients.into_iter().for_each(|client| assert_eq!(client.join().unwrap().0, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_in_parts_is_not_waited_for() {
    let (target, address) = server(config());
    let client = client(&address, Manner::default());
    let begin = Instant::now();
    for _ in 0..10 {
        evaluate(&target).unwrap();
    }
    // With delayed acknowledgements each of the 220 answers takes 40 ms, together 8.8 s; without, some milliseconds.
    let seconds = begin.elapsed().as_secs_f64();
    assert!(seconds < 4.0, "{seconds} s");
    drop(target);
    client.join().unwrap();
}
