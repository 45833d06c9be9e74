use super::*;
use crate::domain::list::Cursor;
use crate::domain::resource::{Attribute as A, Relationship as R};
use crate::domain::{mailbox, mailing, message, user};

static SHELF: Resource = Resource {
    name: "shelf",
    plural: "shelves",
    attributes: &[
        A::text("zone", 10, ""),
        A::text("password", 10, "").secret(),
        A::boolean("checkNow", "").write_only(),
        A::time("createdAt", "").read_only(),
        A::number("area", ""),
    ],
    relationships: &[
        R::one("owner", "user", "").writable(),
        R::one("keeper", "user", ""),
        R::linked("mailAliases", "mailAlias", "shelf", ""),
    ],
    tolerated: &["oldZone"],
};

fn attributes() -> Map<String, Value> {
    let Value::Object(attributes) = json!({
        "area": 7, "zone": "B", "password": "hunter2", "checkNow": true, "undeclared": "x",
    }) else {
        unreachable!()
    };
    attributes
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn fields(names: &[&'static str]) -> FieldSet {
    let mut fields = FieldSet::default();
    for name in names {
        fields.add(name);
    }
    fields
}

#[test]
fn a_record_shows_its_members_in_the_declared_order_and_nothing_that_is_not_readable() {
    let links = Links::new("https://mail.example.org");
    let shown = object(&SHELF, 18, attributes(), &[("owner", Some(3))], &Shown::whole(&links));
    assert_eq!(
        text(&shown),
        concat!(
            r#"{"type":"shelf","id":18,"attributes":{"zone":"B","createdAt":null,"area":7},"relationships":{"#,
            r#""owner":{"data":{"type":"user","id":3}},"keeper":{"data":null},"#,
            r#""mailAliases":{"links":{"related":"https://mail.example.org/api/v2/mailAliases?filter%5Bshelf%5D%5Bid%5D=18"}}},"#,
            r#""links":{"self":"https://mail.example.org/api/v2/shelves/18"}}"#
        )
    );
    assert!(!format!("{shown:?}").contains("hunter2"));
}

#[test]
fn sparse_fields_cover_attributes_and_relationships_and_none_leave_the_ids() {
    let links = Links::new("https://x");
    let some = fields(&["area", "owner", "password"]);
    let shown = Shown { fields: Some(&some), ..Shown::whole(&links) };
    assert_eq!(
        text(&object(&SHELF, 1, attributes(), &[], &shown)),
        r#"{"type":"shelf","id":1,"attributes":{"area":7},"relationships":{"owner":{"data":null}},"links":{"self":"https://x/api/v2/shelves/1"}}"#
    );
    let none = fields(&[]);
    let shown = Shown { fields: Some(&none), ..shown };
    assert_eq!(
        text(&object(&SHELF, 1, attributes(), &[], &shown)),
        r#"{"type":"shelf","id":1,"links":{"self":"https://x/api/v2/shelves/1"}}"#
    );
}

#[test]
fn permissions_show_where_they_were_asked_for() {
    let (links, none) = (Links::new("https://x"), fields(&[]));
    let mut shown = Shown { links: &links, fields: Some(&none), permissions: None };
    for (can_delete, expected) in
        [(Some(false), r#""meta":{"canWrite":true,"canDelete":false}}"#), (None, r#""meta":{"canWrite":true}}"#)]
    {
        shown.permissions = Some(Permissions { can_write: true, can_delete });
        assert!(text(&object(&SHELF, 1, Map::new(), &[], &shown)).ends_with(expected));
    }
}

#[test]
fn a_document_includes_no_record_twice_and_not_what_is_its_data() {
    let (links, none) = (Links::new("https://x"), fields(&[]));
    let shown = Shown { fields: Some(&none), ..Shown::whole(&links) };
    let shelf = |id| object(&SHELF, id, Map::new(), &[], &shown);
    let user = |id| object(&user::RESOURCE, id, Map::new(), &[], &shown);
    let document = Document::new(shelf(1)).including(vec![user(1), shelf(1), user(2), user(1)]).meta("stages", 3);
    assert_eq!(
        text(&document),
        concat!(
            r#"{"data":{"type":"shelf","id":1,"links":{"self":"https://x/api/v2/shelves/1"}},"included":["#,
            r#"{"type":"user","id":1,"links":{"self":"https://x/api/v2/users/1"}},"#,
            r#"{"type":"user","id":2,"links":{"self":"https://x/api/v2/users/2"}}],"meta":{"stages":3}}"#
        )
    );
    let count = Some(Count { matches: 2, truncated: false });
    let page = PageLinks { first: "https://x/api/v2/shelves".into(), ..PageLinks::default() };
    assert_eq!(
        text(&ListDocument::new(Vec::new(), count, page.clone())),
        r#"{"data":[],"meta":{"count":2,"count_truncated":false},"links":{"first":"https://x/api/v2/shelves"}}"#
    );
    let uncounted = text(&ListDocument::new(vec![shelf(1)], None, page).including(vec![shelf(1)]));
    assert!(uncounted.contains(r#""included":[],"meta":{},"#), "{uncounted}");
}

#[test]
fn no_declared_resource_shows_a_secret_whatever_is_handed_in() {
    let links = Links::new("https://x");
    for resource in [&mailbox::RESOURCE, &mailing::RESOURCE, &message::RESOURCE, &user::RESOURCE] {
        let all = resource.attributes.iter().map(|attribute| (attribute.name.to_owned(), json!("planted"))).collect();
        let shown = serde_json::to_value(object(resource, 1, all, &[], &Shown::whole(&links))).unwrap();
        for attribute in resource.attributes {
            let there = shown["attributes"].get(attribute.name).is_some();
            assert_eq!(there, attribute.readable(), "{} {}", resource.name, attribute.name);
        }
    }
}

#[test]
fn offsets_give_way_to_a_cursor_where_they_end() {
    use crate::domain::list::{Listing, Page};
    use crate::jsonapi::{ListRequest, Purpose, Rules};
    let rules = Rules::new(&SHELF, Purpose::List);
    let request = ListRequest::parse("page[limit]=50&page[offset]=9980", &rules).unwrap();
    assert_eq!((&request.list.page, request.list.size), (&Page::Offset(9980), 50));
    let listing: Listing<()> = Listing {
        items: Vec::new(),
        count: Some(Count { matches: 99_999, truncated: false }),
        next: Some(Cursor { keys: Vec::new(), id: 10_030 }),
        prev: None,
    };
    let page = request.page_links(&Links::new("https://x"), "shelves", &listing);
    assert_eq!(page.first, "https://x/api/v2/shelves?page%5Blimit%5D=50&page%5Boffset%5D=0");
    assert_eq!(page.prev.as_deref(), Some("https://x/api/v2/shelves?page%5Blimit%5D=50&page%5Boffset%5D=9930"));
    assert_eq!(page.last, None, "it lies beyond the largest offset");
    let (_, query) = page.next.as_deref().and_then(|url| url.split_once('?')).unwrap();
    let next = ListRequest::parse(query, &rules).unwrap();
    assert_eq!(next.list.page, Page::After(listing.next.unwrap()));
    assert_eq!(next.list.size, 50);
}
