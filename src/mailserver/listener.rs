use super::options::Options;
use super::wire::Wire;
use super::{Shared, imap, smtp};
use crate::runtime::contain;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The addresses that a server listens on.
#[derive(Clone, Copy)]
pub(super) struct Listeners {
    pub smtp: SocketAddr,
    pub imap: SocketAddr,
    pub smtps: Option<SocketAddr>,
    pub imaps: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Smtp,
    Imap,
}

/// A listener that is bound and not served yet.
pub(super) struct Bound {
    listener: TcpListener,
    protocol: Protocol,
    implicit_tls: bool,
}

pub(super) async fn bind(options: &Options) -> io::Result<(Vec<Bound>, Listeners)> {
    if !options.bind.is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the mail server listens on loopback only"));
    }
    let mut bound = Vec::new();
    let smtp = listen(&mut bound, options, options.smtp_port, Protocol::Smtp, false).await?;
    let imap = listen(&mut bound, options, options.imap_port, Protocol::Imap, false).await?;
    let mut listeners = Listeners { smtp, imap, smtps: None, imaps: None };
    if options.tls.is_some() {
        listeners.smtps = Some(listen(&mut bound, options, options.smtps_port, Protocol::Smtp, true).await?);
        listeners.imaps = Some(listen(&mut bound, options, options.imaps_port, Protocol::Imap, true).await?);
    }
    Ok((bound, listeners))
}

async fn listen(
    bound: &mut Vec<Bound>,
    options: &Options,
    port: u16,
    protocol: Protocol,
    implicit_tls: bool,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((options.bind, port)).await?;
    let address = listener.local_addr()?;
    bound.push(Bound { listener, protocol, implicit_tls });
    Ok(address)
}

pub(super) fn serve(shared: &Arc<Shared>, bound: Vec<Bound>) {
    let room = Arc::new(Semaphore::new(shared.options.max_connections));
    for door in bound {
        let (shared, room) = (shared.clone(), room.clone());
        let stopping = shared.tasks.stopping();
        shared.tasks.clone().spawn(async move {
            stopping.run_until_cancelled(accept(&shared, &door, &room)).await;
        });
    }
}

async fn accept(shared: &Arc<Shared>, door: &Bound, room: &Arc<Semaphore>) {
    loop {
        let Ok((stream, _)) = door.listener.accept().await else {
            // Out of descriptors, or the peer was gone before we looked: others may still come.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let Ok(permit) = room.clone().try_acquire_owned() else {
            shared.journal.count(|counts| counts.refused += 1);
            continue;
        };
        let (shared, protocol, implicit_tls) = (shared.clone(), door.protocol, door.implicit_tls);
        shared.tasks.clone().spawn(async move {
            let open = Open::count(&shared, protocol);
            // How a session ended is its peer's business; a panic inside ends only this connection.
            let session = contain(converse(&shared, stream, protocol, implicit_tls, open.connection));
            let _ = shared.tasks.stopping().run_until_cancelled(session).await;
            drop(permit);
        });
    }
}

async fn converse(
    shared: &Arc<Shared>,
    stream: TcpStream,
    protocol: Protocol,
    implicit_tls: bool,
    connection: u64,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream, shared.options.patience);
    if implicit_tls {
        shared.secure(&mut wire).await?;
    }
    match protocol {
        Protocol::Smtp => smtp::Session::new(shared.clone(), wire, connection).run().await,
        Protocol::Imap => imap::Session::new(shared.clone(), wire).run().await,
    }
}

impl Shared {
    /// Turns a connection to TLS and counts how that went.
    pub(super) async fn secure(&self, wire: &mut Wire) -> io::Result<()> {
        let Some(config) = self.options.tls.clone() else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no TLS configuration"));
        };
        let result = wire.secure_with(config).await;
        self.journal.count(|counts| match result {
            Ok(()) => counts.tls += 1,
            Err(_) => counts.tls_failed += 1,
        });
        result
    }
}

/// Counts a connection as open for as long as it lives, however it ends.
struct Open<'a> {
    shared: &'a Shared,
    protocol: Protocol,
    connection: u64,
}

impl<'a> Open<'a> {
    fn count(shared: &'a Shared, protocol: Protocol) -> Self {
        let mut connection = 0;
        shared.journal.count(|counts| {
            let (open, all) = match protocol {
                Protocol::Smtp => (&mut counts.smtp_open, &mut counts.smtp),
                Protocol::Imap => (&mut counts.imap_open, &mut counts.imap),
            };
            *open += 1;
            *all += 1;
            connection = *all;
            counts.imap_most = counts.imap_most.max(counts.imap_open);
        });
        Self { shared, protocol, connection }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shared.journal.count(|counts| match self.protocol {
            Protocol::Smtp => counts.smtp_open -= 1,
            Protocol::Imap => counts.imap_open -= 1,
        });
    }
}
