//! The seam below the network: looking up names and opening sockets.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use tokio::net::TcpStream;

/// What a [`Dialer`]'s methods answer with.
pub type Dialing<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Looks names up and opens sockets. It decides nothing: the egress rule is applied between its two methods.
pub trait Dialer: Send + Sync {
    /// The addresses of a name, best first; none if the name does not exist. An error means that nobody could tell.
    fn resolve<'a>(&'a self, host: &'a str) -> Dialing<'a, Vec<IpAddr>>;

    fn connect(&self, address: SocketAddr) -> Dialing<'_, TcpStream>;
}

/// The system's resolver and sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDialer;

impl Dialer for SystemDialer {
    fn resolve<'a>(&'a self, host: &'a str) -> Dialing<'a, Vec<IpAddr>> {
        Box::pin(async move {
            match tokio::net::lookup_host((host, 0)).await {
                Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect()),
                Err(error) if is_unknown_name(&error.to_string()) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        })
    }

    fn connect(&self, address: SocketAddr) -> Dialing<'_, TcpStream> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            // Commands are small and each waits for its answer.
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }
}

/// The standard library hands on the resolver's text and nothing else; these are those of glibc and musl for a name
/// that does not exist or has no address. Any other text counts as "could not tell", which is the milder reading.
fn is_unknown_name(text: &str) -> bool {
    const TEXTS: [&str; 4] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "Name has no usable address",
    ];
    TEXTS.iter().any(|unknown| text.contains(unknown))
}

/// A made-up internet: names and addresses that lead to sockets of this machine, and nothing else. For tests and the
/// demo; what was not routed is refused like a closed port.
#[derive(Clone, Debug, Default)]
pub struct MapDialer {
    names: HashMap<String, Vec<IpAddr>>,
    routes: HashMap<SocketAddr, SocketAddr>,
}

impl MapDialer {
    pub fn new() -> Self {
        Self::default()
    }

    /// `host` resolves to these addresses.
    #[must_use]
    pub fn name(mut self, host: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.names.insert(host.to_owned(), addresses.into_iter().collect());
        self
    }

    /// A connection to `from` reaches `to`.
    #[must_use]
    pub fn route(mut self, from: SocketAddr, to: SocketAddr) -> Self {
        self.routes.insert(from, to);
        self
    }
}

impl Dialer for MapDialer {
    fn resolve<'a>(&'a self, host: &'a str) -> Dialing<'a, Vec<IpAddr>> {
        let addresses = self.names.get(host).cloned().unwrap_or_default();
        Box::pin(async move { Ok(addresses) })
    }

    fn connect(&self, address: SocketAddr) -> Dialing<'_, TcpStream> {
        let route = self.routes.get(&address).copied();
        Box::pin(async move {
            match route {
                Some(target) => SystemDialer.connect(target).await,
                None => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_resolvers_word_for_a_missing_name_counts_as_one() {
        let text = |detail| is_unknown_name(&format!("failed to lookup address information: {detail}"));
        assert!(text("Name or service not known"));
        assert!(text("Name does not resolve"));
        assert!(!text("Temporary failure in name resolution"));
        assert!(!text("Try again"));
    }
}
