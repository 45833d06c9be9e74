//! Who is calling: the holder of a bearer token, or somebody on this machine who may use the local socket.

use super::Api;
use crate::domain::user::{Role, TokenKind, User};
use crate::jsonapi::ApiError;
use crate::store::{first_admin, get, token_by_hash, user_by_email};
use actix_web::dev::{Extensions, Payload};
use actix_web::http::header;
use actix_web::rt::net::UnixStream;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use ring::digest::{SHA256, digest};
use std::any::Any;
use std::future::{Ready, ready};
use std::os::unix::fs::MetadataExt;

/// The header by which a caller on the local socket names the user to act as.
pub const ACT_AS: &str = "x-postroom-as";

/// The user on whose behalf a request is made.
#[derive(Clone, Debug)]
pub struct Caller(User);

impl Caller {
    /// A caller that is known to be this user.
    pub(super) fn new(user: User) -> Self {
        Self(user)
    }

    pub fn user(&self) -> &User {
        &self.0
    }

    pub fn id(&self) -> u64 {
        self.0.id
    }

    pub fn is_admin(&self) -> bool {
        self.0.role == Role::Admin
    }

    /// Whose records lists are narrowed to; `None` sees all.
    pub fn sees_only(&self) -> Option<u64> {
        (self.0.role == Role::Member).then_some(self.0.id)
    }
}

/// What the server notes of a connection over the local socket.
#[derive(Clone, Copy, Debug)]
struct LocalPeer {
    trusted: bool,
}

/// To be called for every new connection: recognises the local socket and its peer.
pub fn note_connection(connection: &dyn Any, extensions: &mut Extensions) {
    if let Some(stream) = connection.downcast_ref::<UnixStream>() {
        extensions.insert(LocalPeer { trusted: is_trusted(stream) });
    }
}

/// Root, the user this process runs as, and members of its group.
fn is_trusted(stream: &UnixStream) -> bool {
    let (Ok(peer), Ok(own)) = (stream.peer_cred(), std::fs::metadata("/proc/self")) else { return false };
    peer.uid() == 0 || peer.uid() == own.uid() || peer.gid() == own.gid()
}

fn local_peer(request: &HttpRequest) -> Option<LocalPeer> {
    request.conn_data::<LocalPeer>().copied()
}

/// Whether the request came over the local socket from somebody who may administer this instance.
pub fn is_local_operator(request: &HttpRequest) -> bool {
    local_peer(request).is_some_and(|peer| peer.trusted)
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(identify(request))
    }
}

fn identify(request: &HttpRequest) -> Result<Caller, ApiError> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(ApiError::internal)?;
    let user = if let Some(token) = request.headers().get(header::AUTHORIZATION) {
        let (user, kind) = holder_of(api, token.as_bytes())?;
        if let (TokenKind::Person, Some(sync)) = (kind, &api.sync) {
            sync.owner_active(user.id);
        }
        user
    } else if is_local_operator(request) {
        local_user(api, request)?
    } else {
        return Err(ApiError::invalid_access_token());
    };
    let (counted, admitted) = api.rate_limit.count(user.id);
    request.extensions_mut().insert(counted);
    admitted?;
    Ok(Caller(user))
}

/// The SHA-256 under which a token is stored.
pub fn token_hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

fn holder_of(api: &Api, header: &[u8]) -> Result<(User, TokenKind), ApiError> {
    let text = std::str::from_utf8(header).map_err(|_| ApiError::invalid_access_token())?;
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return Err(ApiError::invalid_access_token()),
    };
    let snapshot = api.store.read()?;
    let token = token_by_hash(&snapshot, &token_hash(token))?.ok_or_else(ApiError::invalid_access_token)?;
    if token.expires_at.is_some_and(|at| at <= api.store.runtime().clock.now()) {
        return Err(ApiError::expired_access_token());
    }
    let user = get::<User>(&snapshot, token.user_id)?.filter(|user| !user.locked);
    Ok((user.ok_or_else(ApiError::invalid_access_token)?, token.kind))
}

fn local_user(api: &Api, request: &HttpRequest) -> Result<User, ApiError> {
    let snapshot = api.store.read()?;
    match request.headers().get(ACT_AS) {
        Some(email) => {
            let email = email.to_str().map_err(|_| ApiError::forbidden("The address to act as is not readable."))?;
            user_by_email(&snapshot, email)?
                .filter(|user| !user.locked)
                .ok_or_else(|| ApiError::forbidden("There is no such user to act as, or the user is locked."))
        }
        None => first_admin(&snapshot)?.ok_or_else(|| {
            ApiError::forbidden("There is no administrator yet. Create one: postroom setup --email you@example.org")
        }),
    }
}
