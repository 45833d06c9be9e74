//! A path and its methods: any other method is 405 and says which there are.

use super::caller::Caller;
use crate::jsonapi::ApiError;
use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, guard, web};

/// A path below `/api/v2` under construction.
pub(super) struct Path {
    resource: Resource,
    methods: Vec<&'static str>,
}

/// Starts with no method at all.
pub(super) fn at(path: &str) -> Path {
    Path { resource: web::resource(path), methods: Vec::new() }
}

impl Path {
    pub fn get<F: Handler<A, Output: Responder>, A: FromRequest + 'static>(self, handler: F) -> Self {
        // HEAD is answered wherever GET is (RFC 9110 section 9.1); the body is left out on the way.
        let both = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        self.add("GET", both.to(handler))
    }

    pub fn post<F: Handler<A, Output: Responder>, A: FromRequest + 'static>(self, handler: F) -> Self {
        self.add("POST", web::post().to(handler))
    }

    pub fn patch<F: Handler<A, Output: Responder>, A: FromRequest + 'static>(self, handler: F) -> Self {
        self.add("PATCH", web::patch().to(handler))
    }

    pub fn delete<F: Handler<A, Output: Responder>, A: FromRequest + 'static>(self, handler: F) -> Self {
        self.add("DELETE", web::delete().to(handler))
    }

    fn add(mut self, method: &'static str, route: Route) -> Self {
        self.methods.push(method);
        Self { resource: self.resource.route(route), methods: self.methods }
    }
}

impl HttpServiceFactory for Path {
    fn register(self, config: &mut AppService) {
        let Self { resource, methods } = self;
        // A caller who is known has the request counted, as any other.
        let refuse =
            move |_: Option<Caller>| std::future::ready(Err::<HttpResponse, _>(ApiError::method_not_allowed(&methods)));
        resource.default_service(web::to(refuse)).register(config);
    }
}
