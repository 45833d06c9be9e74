use super::*;
use crate::domain::mailbox::RESOURCE;
use proptest::prelude::*;
use serde_json::json;

fn pointers(error: &ApiError) -> Vec<(u16, String)> {
    let pointer = |error: &ErrorObject| match &error.source {
        Some(Source::Pointer(pointer)) => pointer.clone(),
        other => format!("{other:?}"),
    };
    error.errors().iter().map(|error| (error.status.as_u16(), pointer(error))).collect()
}

#[test]
fn a_create_is_read_with_type_in_either_number_and_ids_in_either_form() {
    for (kind, id) in [("mailbox", json!(7)), ("mailboxes", json!("7"))] {
        let document = json!({"jsonapi": {}, "data": {
            "type": kind,
            "attributes": {"email": "ann@example.org", "createdAt": "x", "password": "hunter2"},
            "relationships": {
                "user": {"data": {"type": "users", "id": id}},
                "creator": {"data": 5},
                "mailings": {"links": {}},
            },
        }});
        let write = Write::parse(&RESOURCE, document, Expect::Create).unwrap();
        assert_eq!((write.id, write.relationships.clone()), (None, BTreeMap::from([("user", Some(7))])));
        assert_eq!(write.raw_relationships.len(), 3);
        let checked = write.check(&RESOURCE);
        assert_eq!((checked.values.len(), checked.problems.len()), (2, 0), "createdAt is the server's");
        assert!(!format!("{write:?}").contains("hunter2"));
    }
}

#[test]
fn an_update_names_the_record_of_the_path_and_may_clear_a_relationship() {
    let document = json!({"data": {"type": "mailbox", "id": "3", "relationships": {"user": {"data": null}}}});
    let write = Write::parse(&RESOURCE, document, Expect::Update(3)).unwrap();
    assert_eq!((write.id, write.relationships.get("user")), (Some(3), Some(&None)));
    assert!(write.check(&RESOURCE).problems.is_empty(), "an update need not carry what is required");
}

#[test]
fn a_document_of_the_wrong_shape_is_told_all_at_once() {
    let update = Expect::Update(3);
    for (document, expect, expected) in [
        (json!([]), Expect::Create, vec![(422, "")]),
        (json!({}), Expect::Create, vec![(422, "/data")]),
        (json!({"data": null}), Expect::Create, vec![(422, "/data")]),
        (json!({"data": []}), Expect::Create, vec![(422, "/data")]),
        (json!({"data": {}}), Expect::Create, vec![(422, "/data/type")]),
        (json!({"data": {"type": 1, "id": null}}), Expect::Create, vec![(422, "/data/type")]),
        (json!({"data": {"type": "mailing"}}), Expect::Create, vec![(409, "/data/type")]),
        (json!({"data": {"type": "mailbox", "id": 3}}), Expect::Create, vec![(403, "/data/id")]),
        (json!({"data": {"type": "mailbox"}}), update, vec![(422, "/data/id")]),
        (json!({"data": {"type": "mailbox", "id": null}}), update, vec![(422, "/data/id")]),
        (json!({"data": {"type": "mailbox", "id": 3.5}}), update, vec![(422, "/data/id")]),
        (json!({"data": {"type": "mailbox", "id": "three"}}), update, vec![(422, "/data/id")]),
        (json!({"data": {"type": "mailbox", "id": 4}}), update, vec![(409, "/data/id")]),
        (
            json!({"data": {"type": "user", "id": 0, "attributes": [], "relationships": "x"}}),
            update,
            vec![(409, "/data/type"), (422, "/data/id"), (422, "/data/attributes"), (422, "/data/relationships")],
        ),
    ] {
        let error = Write::parse(&RESOURCE, document.clone(), expect).unwrap_err();
        let expected: Vec<_> = expected.into_iter().map(|(status, pointer)| (status, pointer.to_owned())).collect();
        assert_eq!(pointers(&error), expected, "{document}");
    }
}

#[test]
fn problems_of_attributes_and_relationships_come_together() {
    let document = json!({"data": {
        "type": "mailbox",
        "attributes": {"imapPort": 0, "imapHots": "x"},
        "relationships": {"usr": {"data": null}, "user": {"data": {"type": "mailbox", "id": 1}}},
    }});
    let problems = Write::parse(&RESOURCE, document, Expect::Create).unwrap().check(&RESOURCE).problems;
    let error = ApiError::unless_valid(problems).unwrap_err();
    let mut places: Vec<_> = pointers(&error).into_iter().map(|(_, pointer)| pointer).collect();
    places.sort();
    assert_eq!(
        places,
        [
            "/data/attributes/email",
            "/data/attributes/imapHots",
            "/data/attributes/imapPort",
            "/data/relationships/user",
            "/data/relationships/usr"
        ]
    );
    assert!(error.to_string().contains("no relationship 'usr'. Did you mean 'user'?"), "{error}");
}

#[test]
fn a_relationship_of_another_shape_is_a_problem() {
    for bad in [
        json!(null),
        json!(1),
        json!([]),
        json!({}),
        json!({"data": 1}),
        json!({"data": [{"type": "user", "id": 1}]}),
        json!({"data": {"id": 1}}),
        json!({"data": {"type": "user"}}),
        json!({"data": {"type": "user", "id": 0}}),
        json!({"data": {"type": "user", "id": -1}}),
        json!({"data": {"type": "user", "id": 1.5}}),
        json!({"data": {"type": "user", "id": "9223372036854775808"}}),
    ] {
        let document = json!({"data": {"type": "mailbox", "id": 1, "relationships": {"user": bad}}});
        let write = Write::parse(&RESOURCE, document, Expect::Update(1)).unwrap();
        assert_eq!((write.relationships.len(), write.check(&RESOURCE).problems.len()), (0, 1), "{bad}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let names =
        || prop_oneof![Just("data"), Just("type"), Just("id"), Just("attributes"), Just("relationships"), Just("user")];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        prop_oneof![Just("mailbox"), Just("user"), Just("1")].prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(names().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused(document in any_json(), id in any::<u64>()) {
        for expect in [Expect::Create, Expect::Update(id)] {
            if let Ok(write) = Write::parse(&RESOURCE, document.clone(), expect) {
                let _ = write.check(&RESOURCE);
            }
        }
    }
}
