//! A conversation with a server: the local one over its socket, another by its URL, or, for the few verbs that must work
//! before any server runs, one of our own over the store, inside this process.

use super::answer::{Document, refused};
use super::arguments::Global;
use super::exit::{Exit, Failure};
use super::output::Output;
use super::secret;
use crate::api::caller::ACT_AS;
use crate::app::{App, Blueprint, StartError};
use crate::config::{Config, Loaded, LogConfig, LogLevel, Machine};
use crate::domain::link::is_readable_on_the_way;
use crate::jsonapi::MEDIA_TYPE;
use crate::net::{Answer, HttpClient, HttpError, Trust};
use crate::ops::telemetry::{self, Reader};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::path::Path;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

/// How many records a page of a list asks for; the most that a server gives.
pub const PAGE: usize = 1000;

/// What a verb does where no server answers on the local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutServer {
    /// Opens the store and runs the same handlers in this process.
    OpenTheStore,
    /// Ends.
    Fail,
}

pub struct Session {
    client: HttpClient,
    token: Option<SecretString>,
    act_as: Option<String>,
    /// Runs only where no server does.
    own: Option<App>,
}

impl Session {
    pub async fn open(global: &Global, without: WithoutServer, output: Output) -> Result<Self, Failure> {
        let loaded = Config::load(&global.overrides(), &Machine)?;
        match &global.url {
            Some(_) if global.act_as.is_some() => {
                Err(Failure::usage("--as is for the local server; with --url the token says who you are."))
            }
            Some(url) => Self::remote(url, global, &loaded, output),
            None if global.token_file.is_some() => {
                Err(Failure::usage("--token-file goes with --url; the local server needs no token."))
            }
            None => Self::local(global, &loaded, without, output).await,
        }
    }

    fn remote(url: &str, global: &Global, loaded: &Loaded, output: Output) -> Result<Self, Failure> {
        let trust = Trust::system(loaded.config.net.extra_ca_file.as_deref())
            .map_err(|error| Failure::new(Exit::Configuration, error.to_string()))?;
        let client = HttpClient::url(url, &trust).map_err(|error| match error {
            HttpError::Invalid(_) => Failure::usage(format!("--url: {error}")),
            _ => error.into(),
        })?;
        let token = global.token_file.as_deref().map(secret::read).transpose()?;
        if token.is_some() && is_readable_on_the_way(url) {
            output.note("Warning: the token goes over the network unencrypted; use an https URL.");
        }
        Ok(Self { client, token, act_as: None, own: None })
    }

    async fn local(global: &Global, loaded: &Loaded, without: WithoutServer, output: Output) -> Result<Self, Failure> {
        let socket = &loaded.places.socket;
        let client = HttpClient::unix(socket)?;
        let session = Self { client, token: None, act_as: global.act_as.clone(), own: None };
        match (session.client.request("GET", "/healthz", &[], None).await, without) {
            (Ok(_), _) => Ok(session),
            (Err(HttpError::Unreachable(reason)), WithoutServer::Fail) => {
                let text =
                    format!("No server is running at {} ({reason}). Start it with: postroom serve", socket.display());
                Err(Failure::new(Exit::Unhealthy, text))
            }
            (Err(HttpError::Unreachable(reason)), WithoutServer::OpenTheStore) => {
                session.in_this_process(global, loaded, &reason, output).await
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    async fn in_this_process(
        self,
        global: &Global,
        loaded: &Loaded,
        reason: &str,
        output: Output,
    ) -> Result<Self, Failure> {
        let mut blueprint = Blueprint::offline(loaded);
        // A socket of its own: the server that may start meanwhile keeps its place, and fails at the store's lock.
        let socket = loaded.places.data_dir.join(format!("offline-{}.sock", std::process::id()));
        blueprint.places.socket.clone_from(&socket);
        blueprint.config.server.threads = 1;
        let log = LogConfig { level: LogLevel::Warn, ..loaded.config.log.clone() };
        telemetry::start(&log, blueprint.runtime.clock.clone(), Reader::of_stderr(!global.no_color));
        let key = loaded.places.master_key.path();
        let had_key = key.exists();
        let own = App::start(blueprint).await.map_err(|error| match error {
            StartError::Configuration(_) => error.into(),
            StartError::Failed(text) => {
                let socket = loaded.places.socket.display();
                Failure::failed(format!("{text} (No server answers at {socket}: {reason}.)"))
            }
        })?;
        if !had_key {
            let (store, key) = (loaded.places.data_dir.display(), key.display());
            output.note(&format!(
                "The store is in {store}, its master key is {key}. Keep a copy of the key apart from the data."
            ));
        }
        remove_left_behind(&loaded.places.data_dir, &socket);
        Ok(Self { client: HttpClient::unix(&socket)?, own: Some(own), ..self })
    }

    /// Ends what runs in this process, if anything does; the store is let go of.
    pub async fn close(self) {
        if let Some(own) = self.own {
            own.stop().await;
        }
    }

    /// One request, answered with whatever status.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Result<Answer, Failure> {
        self.ask_as(method, path, MEDIA_TYPE, body).await
    }

    /// The same with a body of another type.
    pub async fn ask_as(
        &self,
        method: &str,
        path: &str,
        media_type: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Failure> {
        let bearer = self.bearer();
        let mut headers = self.headers(bearer.as_ref());
        if body.is_some() {
            headers.push(("content-type", media_type));
        }
        Ok(self.client.request(method, path, &headers, body).await?)
    }

    /// A file that is sent as it is read; the record that the server made of it.
    pub async fn upload(
        &self,
        path: &str,
        content_type: &str,
        body: impl std::io::Read + std::marker::Send + 'static,
    ) -> Result<Document, Failure> {
        let bearer = self.bearer();
        let mut headers = self.headers(bearer.as_ref());
        headers.push(("content-type", content_type));
        let answer = self.client.upload("POST", path, &headers, body).await?;
        refused(&answer).map_or_else(|| Document::read(&answer.body), Err)
    }

    fn bearer(&self) -> Option<Zeroizing<String>> {
        self.token.as_ref().map(|token| Zeroizing::new(format!("Bearer {}", token.expose_secret())))
    }

    /// Who asks, and what is understood.
    fn headers<'h>(&'h self, bearer: Option<&'h Zeroizing<String>>) -> Vec<(&'h str, &'h str)> {
        let mut headers = vec![("accept", "application/vnd.api+json, */*")];
        headers.extend(bearer.map(|bearer| ("authorization", bearer.as_str())));
        headers.extend(self.act_as.as_ref().map(|email| (ACT_AS, email.as_str())));
        headers
    }

    /// One request of the API; an answer from 400 on is a failure that says what the server said.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Document, Failure> {
        let answer = self.ask(method, path, body.map(|body| body.to_string().into_bytes())).await?;
        match refused(&answer) {
            Some(failure) => Err(failure),
            None if answer.body.is_empty() => Ok(Document::default()),
            None => Document::read(&answer.body),
        }
    }

    pub async fn get(&self, path: &str) -> Result<Document, Failure> {
        self.call("GET", path, None).await
    }

    /// A list of at most `limit` records, over as many pages as it takes; what it includes comes along.
    pub async fn list(&self, plural: &str, query: &[(&str, &str)], limit: usize) -> Result<Document, Failure> {
        let mut pages = self.pages(plural, query, limit.min(PAGE));
        let (mut data, mut included) = (Vec::new(), Vec::new());
        while data.len() < limit
            && let Some(mut page) = pages.next().await?
        {
            data.append(&mut page.take_list("data"));
            included.append(&mut page.take_list("included"));
        }
        data.truncate(limit);
        let mut document = json!({"data": data});
        if !included.is_empty() {
            document["included"] = included.into();
        }
        Ok(Document(document))
    }

    /// A list of any length, one page after the other.
    pub fn pages(&self, plural: &str, query: &[(&str, &str)], size: usize) -> Pages<'_> {
        let size = size.to_string();
        let first = Serializer::new(String::new()).extend_pairs(query).append_pair("page[size]", &size).finish();
        Pages { session: self, path: format!("/api/v2/{plural}"), next: Some(first) }
    }

    /// The record with this address in a list that has one per address.
    pub async fn by_email(&self, plural: &str, email: &str) -> Result<Option<Value>, Failure> {
        let query = [("filter[email]", email.trim()), ("newFilterSyntax", "true")];
        Ok(self.list(plural, &query, 1).await?.take_list("data").pop())
    }
}

/// The pages of a list, each asked for when its turn comes.
pub struct Pages<'s> {
    session: &'s Session,
    path: String,
    /// The query of the page to come.
    next: Option<String>,
}

impl Pages<'_> {
    /// `None` behind the last one.
    pub async fn next(&mut self) -> Result<Option<Document>, Failure> {
        let Some(query) = self.next.take() else { return Ok(None) };
        let page = self.session.get(&format!("{}?{query}", self.path)).await?;
        // The link carries the server's public origin, which need not be the way we came.
        let following = page.0["links"]["next"].as_str().and_then(|link| link.split_once('?'));
        self.next = following.map(|(_, query)| query.to_owned()).filter(|following| *following != query);
        Ok(Some(page))
    }
}

/// Sockets of commands that were ended before they could tidy up. We hold the store, so nobody listens on them.
fn remove_left_behind(data_dir: &Path, own: &Path) {
    let files = std::fs::read_dir(data_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in files.filter(|path| path != own) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("offline-") && path.extension().is_some_and(|end| end == "sock") {
            // One that stays does no harm.
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_dead_commands_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["offline-1.sock", "offline-2.sock", "api.sock", "postroom.redb", "offline-1.txt"] {
            std::fs::write(at(name), "").unwrap();
        }
        remove_left_behind(folder.path(), &at("offline-2.sock"));
        assert!(!at("offline-1.sock").exists());
        for name in ["offline-2.sock", "api.sock", "postroom.redb", "offline-1.txt"] {
            assert!(at(name).exists(), "{name}");
        }
    }
}
