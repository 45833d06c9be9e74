use super::*;
use crate::domain::list::{Count, Cursor, Filter, Scalar, Test};
use crate::domain::resource::{Attribute as A, Form, Relationship as R};
use crate::domain::time::Timestamp;
use crate::domain::{mailbox, mailing, user};
use crate::jsonapi::error::Source;
use proptest::prelude::*;

static SHELF: Resource = Resource {
    name: "shelf",
    plural: "shelves",
    attributes: &[
        A::text("email", 255, "").form(Form::Email).listed(),
        A::text("zone", 255, "").listed(),
        A::boolean("open", "").listed(),
        A::number("area", "").listed(),
        A::time("createdAt", "").read_only().listed(),
        A::text("note", 255, ""),
        A::text("password", 255, "").secret().listed(),
    ],
    relationships: &[
        R::one("owner", "user", "").filterable(),
        R::one("keeper", "user", ""),
        R::linked("books", "book", "shelf", ""),
    ],
    tolerated: &["oldZone"],
};

fn rules() -> Rules<'static> {
    static OTHERS: [&Resource; 3] = [&user::RESOURCE, &mailbox::RESOURCE, &mailing::RESOURCE];
    Rules::new(&SHELF, Purpose::List).others(&OTHERS)
}

fn parse(raw: &str) -> Result<ListRequest, ApiError> {
    ListRequest::parse(raw, &rules())
}

fn only_filter(raw: &str) -> (String, Test) {
    let request = parse(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
    assert_eq!(request.list.filters.len(), 1, "{raw}");
    let Filter { field, test } = request.list.filters[0].clone();
    (field, test)
}

/// The parameters that are complained about.
fn blamed(raw: &str) -> Vec<String> {
    let error = parse(raw).err().unwrap_or_else(|| panic!("{raw} must be refused"));
    assert_eq!(error.status(), 400, "{raw}");
    let parameter = |error: &ErrorObject| match &error.source {
        Some(Source::Parameter(name)) => name.clone(),
        other => format!("{other:?}"),
    };
    error.errors().iter().map(parameter).collect()
}

fn at(text: &str) -> Scalar {
    Scalar::Time(Timestamp::parse(text).unwrap())
}

fn one_of(values: impl IntoIterator<Item = impl Into<Scalar>>) -> Test {
    Test::OneOf(values.into_iter().map(Into::into).collect())
}

fn range(from: Option<Scalar>, to: Option<Scalar>) -> Test {
    Test::Range { from, to }
}

#[test]
fn filters_of_the_old_syntax_are_typed_by_the_declaration() {
    let number = |number: i64| Some(Scalar::Integer(number));
    for (raw, field, test) in [
        ("filter[zone]=a", "zone", one_of(["a"])),
        ("filter%5Bzone%5D=a%2Cb", "zone", one_of(["a", "b"])),
        ("filter[zone]=a..b", "zone", one_of(["a..b"])),
        ("filter[zone]=a+b%2Bc", "zone", one_of(["a b+c"])),
        ("filter[zone]=", "zone", one_of([""])),
        ("filter[area]=5", "area", one_of([5_u64])),
        ("filter[area]=1,2, 3", "area", one_of([1_u64, 2, 3])),
        ("filter[area]=1,__null__", "area", Test::OneOf(vec![Scalar::Integer(1), Scalar::Null])),
        ("filter[area]=-5..10", "area", range(number(-5), number(10))),
        ("filter[area]=neginf..7", "area", range(None, number(7))),
        ("filter[area]=7..inf", "area", range(number(7), None)),
        ("filter[area]=__null__", "area", Test::Null),
        ("filter[zone]=__notnull__", "zone", Test::NotNull),
        ("filter[open]=true", "open", one_of([true])),
        ("filter[id]=1,2", "id", one_of([1_u64, 2])),
        ("filter[owner][id]=1,2", "owner.id", one_of([1_u64, 2])),
        ("filter[owner][id]=__null__", "owner.id", Test::Null),
        ("filter[email]=Ann%2Bx@EXAMPLE.org", "email", one_of(["ann+x@example.org"])),
        ("filter[email]=ann+x@example.org", "email", one_of(["ann+x@example.org"])),
        ("filter[email]=a@x.org,B@x.org", "email", one_of(["a@x.org", "b@x.org"])),
        ("filter[createdAt]=2026-07-08T20:40:47%2B02:00", "createdAt", Test::OneOf(vec![at("2026-07-08T18:40:47Z")])),
        ("filter[createdAt]=2026-07-08T20:40:47+02:00", "createdAt", Test::OneOf(vec![at("2026-07-08T18:40:47Z")])),
        (
            "filter[createdAt]=2026-07-08",
            "createdAt",
            range(Some(at("2026-07-08")), Some(at("2026-07-08T23:59:59.999Z"))),
        ),
        (
            "filter[createdAt]=2026-07-08..2026-07-09",
            "createdAt",
            range(Some(at("2026-07-08")), Some(at("2026-07-09T23:59:59.999Z"))),
        ),
        ("filter[createdAt]=2026-07-08..inf", "createdAt", range(Some(at("2026-07-08")), None)),
        ("filter[zone]=a&filter[zone]=b", "zone", one_of(["b"])),
    ] {
        assert_eq!(only_filter(raw), (field.to_owned(), test), "{raw}");
    }
}

#[test]
fn filters_of_the_new_syntax_have_lists_and_ends_of_their_own() {
    for (raw, field, test) in [
        ("filter[zone]=a,b", "zone", one_of(["a,b"])),
        ("filter[zone][]=x&filter[zone][]=y,z&filter[zone][]=x", "zone", one_of(["y,z", "x"])),
        ("filter[area][gte]=5&filter[area][lte]=7", "area", range(Some(Scalar::Integer(5)), Some(Scalar::Integer(7)))),
        ("filter[owner][id][]=3&filter[owner][id][]=4", "owner.id", one_of([3_u64, 4])),
        ("filter[owner][id]=3,4", "owner.id", one_of([3_u64, 4])),
        ("filter[createdAt][lte]=2026-07-08", "createdAt", range(None, Some(at("2026-07-08T23:59:59.999Z")))),
        ("filter[createdAt][gte]=2026-07-08", "createdAt", range(Some(at("2026-07-08")), None)),
    ] {
        assert_eq!(only_filter(&format!("{raw}&newFilterSyntax=true")), (field.to_owned(), test), "{raw}");
    }
    for value in ["2026-07-08..2026-07-09", "yesterday"] {
        let error = parse(&format!("newFilterSyntax=true&filter[createdAt]={value}")).unwrap_err();
        assert_eq!((error.status().as_u16(), error.errors()[0].id), (400, "filterParameter.invalidDatetimeFormat"));
        assert_eq!(error.errors()[0].source, Some(Source::Parameter("filter[createdAt]".into())));
    }
}

#[test]
fn what_cannot_be_is_refused_naming_the_parameter() {
    for raw in [
        "filter[nothing]=1",
        "filter[note]=a",
        "filter[password]=x",
        "filter[oldZone]=x",
        "filter[keeper][id]=1",
        "filter[books][id]=1",
        "filter[owner]=1",
        "filter[owner][email]=a",
        "filter[area]=five",
        "filter[area]=1..x",
        "filter[area]=..5",
        "filter[area]=99999999999999999999",
        "filter[area]=1.5",
        "filter[open]=yes",
        "filter[createdAt]=yesterday",
        "filter[createdAt]=2026-02-30",
        "filter[createdAt]=2026-07-08,2026-07-09",
        "filter[zone][]=x",
        "filter[area][gte]=1",
        "filter[area][gt]=1",
        "filter[area][id][x]=1",
        "filter=1",
        "filter[area=1",
        "filter[ar[ea]]=1",
        "sort=password",
        "sort=note",
        "sort=-",
        "sort=zone,,area",
        "sort=a,b,c,d,e,f",
        "include=books",
        "include=nobody",
        "include=owner.nobody",
        "include=owner.mailboxes",
        "fields[shelf]=zone,password",
        "fields[shelf]=nothing",
        "fields[castle]=x",
        "fields=zone",
        "page[size]=0",
        "page[size]=-1",
        "page[size]=%2B1",
        "page[size]=1001",
        "page[size]=many",
        "page[size]=",
        "page[limit]=1001",
        "page[offset]=10001",
        "page[offset]=-1",
        "page[after]=nonsense",
        "page[before]=%00",
        "page[number]=2",
        "page=2",
        "count=no",
        "newFilterSyntax=1",
        "provideAuthorizationMeta=yes",
        "nonsense=1",
        "zone=%ff",
        "%ff=1",
    ] {
        let blamed = blamed(raw);
        let name = raw.split('=').next().unwrap().replace('%', "");
        assert_eq!(blamed.len(), 1, "{raw}: {blamed:?}");
        assert_eq!(blamed[0].replace('%', ""), name, "{raw}");
    }
    for (raw, hint) in [
        ("filter[zoen]=1", "Did you mean 'zone'?"),
        ("sort=-creatdAt", "Did you mean 'createdAt'?"),
        ("page[sise]=1", "Did you mean 'page[size]'?"),
        ("include=ownr", "Did you mean 'owner'?"),
        ("fields[shlf]=zone", "Did you mean 'shelf'?"),
        ("filter[zone][gte]=1", "newFilterSyntax=true"),
        ("include=owner,owner.owner,owner.mailbox.user.boss.x", "at most 4 relationships"),
    ] {
        let error = parse(raw).unwrap_err().to_string();
        assert!(error.contains(hint), "{raw}: {error}");
    }
}

#[test]
fn every_complaint_comes_at_once() {
    let raw = "filter[x]=1&sort=y,zone,z&page[size]=0&include=q,r&w=1&fields[shelf]=a,b";
    let fields = "fields[shelf]";
    let expected = ["filter[x]", "sort", "sort", "include", "include", "w", fields, fields, "page[size]"];
    assert_eq!(blamed(raw), expected);
}

#[test]
fn a_secret_cannot_be_asked_about_and_is_never_suggested() {
    for raw in ["filter[passwrd]=x", "filter[password]=hunter2", "sort=passwor", "fields[shelf]=pasword"] {
        let error = parse(raw).unwrap_err().to_string();
        assert!(!error.contains("'password'?") && !error.contains("hunter2"), "{error}");
    }
    for resource in [&mailbox::RESOURCE, &mailing::RESOURCE, &user::RESOURCE] {
        for attribute in resource.attributes.iter().filter(|attribute| !attribute.readable()) {
            for query in ["filter[?]=x", "sort=?", "fields[#]=?"] {
                let raw = query.replace('?', attribute.name).replace('#', resource.name);
                let rules = Rules::new(resource, Purpose::List);
                assert!(ListRequest::parse(&raw, &rules).is_err(), "{raw}");
            }
        }
    }
}

#[test]
fn bounds_hold() {
    let values = |count: usize| vec!["1"; count].join(",");
    assert!(parse(&format!("filter[area]={}", values(200))).is_ok());
    assert_eq!(blamed(&format!("filter[area]={}", values(201))), ["filter[area]"]);
    assert_eq!(blamed(&format!("filter[zone]={}", "x".repeat(2_001))), ["filter[zone]"]);
    let each: Vec<_> = (0..201).map(|number| format!("filter[area][]={number}")).collect();
    assert_eq!(blamed(&format!("{}&newFilterSyntax=true", each.join("&"))), ["filter[area][]"]);
    assert_eq!(blamed(&"x=1&".repeat(301)), ["None"]);
    assert_eq!(blamed(&"x".repeat(40_000)), ["None"]);
    assert_eq!(parse("sort=zone,-zone,-area,id").unwrap().list.sort.len(), 3, "a field sorts once");
}

#[test]
fn the_other_parameters_say_what_is_wanted() {
    let request = parse(
        "sort=-createdAt,zone&page[size]=7&count=false&provideAuthorizationMeta=true&include=owner,keeper,owner\
         &fields[shelf]=zone,owner,id,oldZone&fields[users]=&&",
    )
    .unwrap();
    let key = |field: &str, descending| SortKey { field: field.to_owned(), descending };
    assert_eq!(request.list.sort, [key("createdAt", true), key("zone", false)]);
    assert_eq!((request.list.size, request.list.count, request.list.page), (7, false, Page::Start));
    assert_eq!((request.authorization_meta, request.include), (true, vec!["owner".to_owned(), "keeper".to_owned()]));
    let fields = &request.fields["shelf"];
    assert_eq!((fields.contains("zone"), fields.contains("owner"), fields.contains("area")), (true, true, false));
    assert_eq!(request.fields["user"], FieldSet::default(), "empty: ids only");
    assert_eq!(parse("").unwrap().list, ListQuery::all());
}

#[test]
fn dotted_includes_follow_to_one_relationships() {
    static BOX: Resource =
        Resource { name: "box", plural: "boxes", relationships: &[R::one("shelf", "shelf", "")], ..EMPTY };
    const EMPTY: Resource = Resource { name: "", plural: "", attributes: &[], relationships: &[], tolerated: &[] };
    let others = [&SHELF];
    let rules = Rules::new(&BOX, Purpose::Show).others(&others);
    assert_eq!(ListRequest::parse("include=shelf.owner", &rules).unwrap().include, ["shelf.owner"]);
    assert!(ListRequest::parse("include=shelf.books", &rules).is_err());
    assert!(ListRequest::parse("include=shelf.owner.boss", &rules).is_err(), "users are not known here");
}

#[test]
fn a_record_has_fewer_parameters_than_a_list_and_a_write_passes_over_include() {
    let show = Rules::new(&SHELF, Purpose::Show).extra(&["actionParams[deliver]"]);
    let request = ListRequest::parse("actionParams%5Bdeliver%5D=true&include=owner", &show).unwrap();
    assert_eq!(request.extra["actionParams[deliver]"], "true");
    for raw in ["filter[zone]=a", "sort=zone", "page[size]=1", "page[after]=x", "count=true", "actionParams[x]=1"] {
        assert_eq!(ListRequest::parse(raw, &show).unwrap_err().errors().len(), 1, "{raw}");
    }
    let write = Rules::new(&SHELF, Purpose::Write);
    assert!(ListRequest::parse("include=nobody", &write).unwrap().include.is_empty());
}

fn listing(next: Option<Cursor>, prev: Option<Cursor>, matches: usize) -> Listing<()> {
    Listing { items: Vec::new(), count: Some(Count { matches, truncated: false }), next, prev }
}

#[test]
fn links_carry_every_parameter_and_survive_what_clients_append() {
    let raw = "filter[zone]=a%26b&sort=-area&page[size]=2&count=false";
    let place = Cursor { keys: vec![Scalar::Integer(9)], id: 4 };
    let links =
        parse(raw).unwrap().page_links(&Links::new("https://x"), "shelves", &listing(Some(place.clone()), None, 9));
    let first = "https://x/api/v2/shelves?filter%5Bzone%5D=a%26b&sort=-area&page%5Bsize%5D=2&count=false";
    assert_eq!((links.first.as_str(), &links.prev, &links.last), (first, &None, &None));
    let next = links.next.unwrap();
    assert!(next.starts_with(&format!("{first}&page%5Bafter%5D=")), "{next}");

    let query = next.split_once('?').unwrap().1;
    for appended in ["", "page[size]=2", raw, "page[offset]=0", "page[after]="] {
        let again = parse(&format!("{query}&{appended}")).unwrap();
        assert_eq!((&again.list.page, again.list.size), (&Page::After(place.clone()), 2), "{appended}");
    }
    let back = parse(query).unwrap().page_links(&Links::new("https://x"), "shelves", &listing(None, Some(place), 9));
    assert!(back.next.is_none() && back.prev.unwrap().contains("&page%5Bbefore%5D="));
    let other = parse(&format!("{query}&sort=area")).unwrap_err();
    assert!(other.to_string().contains("another sort"), "{other}");
}

#[test]
fn the_old_style_pages_by_offset_and_knows_its_last_page() {
    let request = parse("page[limit]=10&page[offset]=20").unwrap();
    let place = Some(Cursor { keys: Vec::new(), id: 30 });
    let links = request.page_links(&Links::new("https://x"), "shelves", &listing(place.clone(), place, 40));
    let url = |offset: u32| format!("https://x/api/v2/shelves?page%5Blimit%5D=10&page%5Boffset%5D={offset}");
    assert_eq!(
        (links.first, links.prev, links.next, links.last),
        (url(0), Some(url(10)), Some(url(30)), Some(url(30)))
    );
    let start = parse("page[limit]=10").unwrap();
    assert_eq!(start.list.page, Page::Start);
    let links = start.page_links(&Links::new("https://x"), "shelves", &listing(None, None, 0));
    assert_eq!((links.next, links.last), (None, Some(url(0))));
}

#[test]
fn a_cursor_of_another_list_or_with_values_of_another_kind_is_refused() {
    let key = |field: &str| vec![SortKey { field: field.to_owned(), descending: false }];
    let (area, zone) = (key("area"), key("zone"));
    let numbers = Cursor { keys: vec![Scalar::Integer(1)], id: 1 };
    let word = cursor::encode("shelf", &area, &numbers);
    assert_eq!(cursor::decode(&SHELF, &area, &word), Ok(numbers.clone()));
    assert_eq!(cursor::decode(&SHELF, &zone, &word), Err(cursor::BadCursor::OtherList));
    assert_eq!(cursor::decode(&user::RESOURCE, &area, &word), Err(cursor::BadCursor::OtherList));
    let forged = cursor::encode("shelf", &zone, &numbers);
    assert_eq!(cursor::decode(&SHELF, &zone, &forged), Err(cursor::BadCursor::Unreadable));
}

fn parameter_names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("filter[area]".to_owned()),
        Just("filter[createdAt][gte]".to_owned()),
        Just("filter[zone][]".to_owned()),
        Just("filter[owner][id]".to_owned()),
        Just("page[after]".to_owned()),
        Just("page[size]".to_owned()),
        Just("newFilterSyntax".to_owned()),
        Just("fields[shelf]".to_owned()),
        Just("include".to_owned()),
        Just("sort".to_owned()),
        "[a-z\\[\\]%+=&]{0,12}",
    ]
}

fn parameter_values() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        "[0-9a-z.,_%+-]{0,16}",
        "\\PC{0,12}",
        "(neginf|[0-9]{1,4})\\.\\.(inf|[0-9]{1,20})"
    ]
}

fn scalars() -> impl Strategy<Value = Scalar> {
    prop_oneof![Just(Scalar::Null), ".{0,40}".prop_map(Scalar::Text)]
}

proptest! {
    #[test]
    fn any_query_is_read_or_refused(pairs in proptest::collection::vec((parameter_names(), parameter_values()), 0..12)) {
        let raw: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        match parse(&raw.join("&")) {
            Ok(request) => prop_assert!((1..=1000).contains(&request.list.size)),
            Err(error) => prop_assert_eq!(error.status().as_u16(), 400),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(raw in "\\PC{0,200}") {
        let _ = parse(&raw);
    }

    #[test]
    fn a_cursor_comes_back_as_it_went(text in scalars(), time in any::<i64>(), id in any::<u64>()) {
        let key = |field: &str| SortKey { field: field.to_owned(), descending: true };
        let sort = [key("zone"), key("createdAt"), key("id")];
        let time = Scalar::Time(Timestamp::from_millis(time));
        let place = Cursor { keys: vec![text, time, Scalar::Integer(3)], id };
        let word = cursor::encode("shelf", &sort, &place);
        prop_assert!(word.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet)));
        prop_assert_eq!(cursor::decode(&SHELF, &sort, &word), Ok(place));
    }

    #[test]
    fn a_cursor_of_any_octets_is_refused_or_read(octets in proptest::collection::vec(any::<u8>(), 0..60)) {
        use base64::Engine as _;
        let word = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(octets);
        let _ = cursor::decode(&SHELF, &[], &word);
    }
}
