//! Clients as they come, are asked and go.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Address;
use super::client::{Client, Stream};
use crate::target::TargetError;
use crate::target::own::{HEARS, Waiting};

/// A listening socket, with a thread that lets clients in.
pub(super) struct Server {
    shared: Arc<Shared>,
    address: Address,
}

#[derive(Default)]
struct Shared {
    clients: Mutex<Clients>,
    changed: Condvar,
    closed: AtomicBool,
}

#[derive(Default)]
struct Clients {
    idle: Vec<Client>,
    /// Those that are there, idle or not.
    there: usize,
    /// Enough of them have come once.
    begun: bool,
}

/// Whether a file is the socket of a process that is gone.
fn is_left_over(file: &std::path::Path) -> bool {
    let is_socket = std::fs::symlink_metadata(file).is_ok_and(|there| there.file_type().is_socket());
    is_socket && UnixStream::connect(file).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

enum Listener {
    Inet(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Takes the address, also one that a process that was killed has left, and notes the port that port 0 became.
    fn new(address: &mut Address) -> io::Result<Self> {
        match address {
            Address::Inet(place) => {
                let listener = TcpListener::bind(&**place)?;
                *place = match place.rsplit_once(':') {
                    Some((host, _)) => format!("{host}:{}", listener.local_addr()?.port()),
                    None => listener.local_addr()?.to_string(),
                };
                Ok(Self::Inet(listener))
            }
            Address::Unix(name) => {
                let file = Address::file(name);
                match UnixListener::bind(&file) {
                    Err(e) if e.kind() == io::ErrorKind::AddrInUse && is_left_over(&file) => {
                        std::fs::remove_file(&file)?;
                        UnixListener::bind(&file).map(Self::Unix)
                    }
                    listener => listener.map(Self::Unix),
                }
            }
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Inet(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Stream::Inet(stream)
            }
            Self::Unix(listener) => Stream::Unix(listener.accept()?.0),
        })
    }
}

impl Server {
    pub fn listen(address: &Address, batch: usize) -> Result<Self, TargetError> {
        let mut address = address.clone();
        let listener = Listener::new(&mut address).map_err(|e| {
            let what = match e.kind() {
                io::ErrorKind::AddrInUse => "another program listens there; choose another one".into(),
                _ => format!("cannot listen there ({e}); give a HOST:PORT of this machine"),
            };
            TargetError::Parameter(format!("{address}: {what}"))
        })?;
        let shared = Arc::<Shared>::default();
        let own = shared.clone();
        std::thread::spawn(move || {
            while !own.closed.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok(_) if own.closed.load(Ordering::SeqCst) => {}
                    Ok(stream) => {
                        let mut clients = own.clients();
                        clients.there += 1;
                        clients.idle.push(Client::new(stream, batch));
                        drop(clients);
                        own.changed.notify_all();
                    }
                    // One that went at once, or too many files are open.
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        Ok(Self { shared, address })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for so many clients, the first time, and returns how many are there, at least one.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Result<usize, String> {
        let late = Instant::now() + timeout;
        let mut clients = self.shared.clients();
        if clients.there < count && !clients.begun {
            self.tell(format_args!("{count} to come"), timeout);
        }
        let _waiting = (clients.there < count && !clients.begun).then(Waiting::new);
        while clients.there < count && !clients.begun {
            let missing = || {
                let (there, seconds) = (clients.there, timeout.as_secs_f64());
                format!("{there} of {count} came within {seconds} s (timeout); start them with this address")
            };
            let left = late.checked_duration_since(Instant::now()).ok_or_else(missing)?;
            clients =
                self.shared.changed.wait_timeout(clients, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        clients.begun = true;
        Ok(clients.there.max(1))
    }

    /// An idle client, once there is one.
    pub fn take(&self, timeout: Duration) -> Result<Client, String> {
        let mut late = Instant::now() + timeout;
        let mut clients = self.shared.clients();
        if clients.there == 0 {
            self.tell(format_args!("one: all are gone"), timeout);
        }
        loop {
            if let Some(client) = clients.idle.pop() {
                return Ok(client);
            }
            // Those that are busy are waited for by those that have them; the time of new ones begins when all are gone.
            if clients.there > 0 {
                late = Instant::now() + timeout;
            }
            let left = late.saturating_duration_since(Instant::now());
            if left.is_zero() && clients.there == 0 {
                let seconds = timeout.as_secs_f64();
                return Err(format!("none was there for {seconds} s (timeout); start one with this address"));
            }
            let left = left.max(Duration::from_millis(100));
            let _waiting = (clients.there == 0).then(Waiting::new);
            clients =
                self.shared.changed.wait_timeout(clients, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn tell(&self, whom: std::fmt::Arguments<'_>, timeout: Duration) {
        if let Some(hears) = HEARS.get() {
            let (address, seconds) = (&self.address, timeout.as_secs_f64());
            hears(&format!("waiting for clients of i-PI at {address}, {whom} (timeout {seconds} s)"));
        }
    }

    pub fn give_back(&self, client: Client) {
        self.shared.clients().idle.push(client);
        self.shared.changed.notify_one();
    }

    /// One that was taken does not come back.
    pub fn lost(&self) {
        self.shared.clients().there -= 1;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // The thread that lets clients in hears of it by one more.
        match &self.address {
            Address::Inet(place) => drop(TcpStream::connect(&**place)),
            Address::Unix(name) => {
                drop(UnixStream::connect(Address::file(name)));
                // It may be gone.
                let _ = std::fs::remove_file(Address::file(name));
            }
        }
        self.shared.clients().idle.drain(..).for_each(Client::end);
    }
}
