use super::*;
use crate::domain::mailbox::RESOURCE;
use actix_web::body::to_bytes;

async fn shown(error: &ApiError) -> Value {
    let body = to_bytes(error.error_response().into_body()).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[actix_web::test]
async fn every_problem_of_a_write_is_in_one_answer_with_its_pointer() {
    let error = ApiError::unless_valid(vec![
        Problem::attribute("imapPort", "imapPort must be between 1 and 65535; got 0."),
        Problem::attribute("email", "email is taken.").with_code(ProblemCode::Duplicate),
        Problem::relationship("user", "No.").with_code(ProblemCode::TooLong),
        Problem { place: Place::Document, code: ProblemCode::Invalid, detail: "Both are needed.".into() },
    ])
    .unwrap_err();
    assert_eq!(error.error_response().headers().get("content-type").unwrap(), "application/vnd.api+json");
    assert_eq!(
        shown(&error).await,
        json!({"errors": [
            {"status": "422", "id": "validationError", "title": "Validation Error",
             "detail": "imapPort must be between 1 and 65535; got 0.", "source": {"pointer": "/data/attributes/imapPort"}},
            {"status": "422", "id": "validationDuplicateValueError", "title": "Validation Duplicate Value Error",
             "detail": "email is taken.", "source": {"pointer": "/data/attributes/email"}},
            {"status": "422", "id": "validationDataTooLongError", "title": "Validation Data Too Long Error",
             "detail": "No.", "source": {"pointer": "/data/relationships/user"}},
            {"status": "422", "id": "validationError", "title": "Validation Error",
             "detail": "Both are needed.", "source": {"pointer": "/data"}},
        ]})
    );
    assert_eq!(ApiError::unless_valid(Vec::new()), Ok(()));
}

#[test]
fn each_refusal_has_its_status_its_code_and_its_headers() {
    let second = Duration::from_millis(1_200);
    for (error, status, id, header) in [
        (ApiError::bad_parameter("sort", "No."), 400, "badParameter", None),
        (ApiError::malformed_body("No."), 400, "malformedRequest", None),
        (ApiError::invalid_access_token(), 401, "invalidAccessToken", Some("www-authenticate")),
        (ApiError::expired_access_token(), 401, "expiredAccessToken", Some("www-authenticate")),
        (ApiError::missing_scope("mailboxes.read"), 403, "unauthorizedOauthScope", None),
        (ApiError::forbidden("No."), 403, "unauthorizedRequest", None),
        (ApiError::not_found(&RESOURCE, 1), 404, "resourceNotFound", None),
        (ApiError::route_not_found("/x"), 404, "routeNotFound", None),
        (ApiError::method_not_allowed(&["GET", "POST"]), 405, "methodNotAllowed", Some("allow")),
        (ApiError::conflict("No."), 409, "conflict", None),
        (ApiError::precondition_failed(), 412, "preconditionFailed", None),
        (ApiError::too_large(9, ""), 413, "payloadTooLarge", None),
        (ApiError::unsupported_media_type("No."), 415, "unsupportedMediaType", None),
        (ApiError::rate_limited(second), 429, "rateLimitExceeded", Some("retry-after")),
        (ApiError::internal(), 500, "internalServerError", None),
        (ApiError::maintenance(second), 503, "scheduledServerMaintenance", Some("retry-after")),
        (ApiError::busy(second), 503, "serviceUnavailable", Some("retry-after")),
        (ApiError::out_of_storage(), 507, "insufficientStorage", None),
    ] {
        let response = error.error_response();
        assert_eq!((response.status().as_u16(), error.errors()[0].id), (status, id));
        let names: Vec<_> =
            response.headers().keys().map(HeaderName::as_str).filter(|name| *name != "content-type").collect();
        assert_eq!(names, Vec::from_iter(header), "{id}");
    }
    assert_eq!(ApiError::not_found(&RESOURCE, 1).to_string(), "Could not find 'mailbox' with ID '1'.");
    let scope = "Your authorization does not include the required scope 'mailboxes.read'.";
    assert_eq!(ApiError::missing_scope("mailboxes.read").to_string(), scope);
    assert_eq!(ApiError::busy(second).error_response().headers().get("retry-after").unwrap(), "2", "rounded up");
}

#[test]
fn what_a_client_wrote_comes_back_bounded_and_without_controls() {
    assert_eq!(clean("a\r\nb\0\u{202e}c"), "abc");
    assert_eq!(clean(&"x".repeat(500)), format!("{}…", "x".repeat(ECHO)));
    let pointer = Source::of(&Place::Attribute("a/b~c\n".into()));
    assert_eq!(pointer, Source::Pointer("/data/attributes/a~1b~0c".into()));
}

#[test]
fn a_flood_of_errors_is_cut_and_counted_and_the_gravest_status_stands() {
    let mut errors: Vec<_> = (0..250).map(|_| ErrorObject::invalid("/data/id", "No.")).collect();
    errors.push(ErrorObject::conflict("/data/type", "No."));
    let error = ApiError::unless_empty(errors).unwrap_err();
    assert_eq!((error.status(), error.errors().len()), (StatusCode::CONFLICT, SHOWN_ERRORS));
    assert_eq!(error.errors()[SHOWN_ERRORS - 1].meta.as_ref().unwrap()["omitted"], 151);
}
