//! Queries that ask for what cannot be.

use super::{Bench, sources};
use crate::support::client::Request;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_parameter_is_named() {
    let bench = Bench::start().await;
    let many = "1,".repeat(201) + "1";
    let filters = (0..21).map(|day| format!("filter[createdAt][gte]=2026-01-{:02}", day + 1)).collect::<Vec<_>>();
    let long = format!("filter[email]={}", "x".repeat(2_001));
    let listed = format!("filter[id]={many}");
    for (query, blamed) in [
        ("filter[imapHost]=x", "filter[imapHost]"),
        ("filter[password]=x", "filter[password]"),
        ("filter[smtpPassword]=__notnull__", "filter[smtpPassword]"),
        ("filter[sendgridApiKey][]=x&newFilterSyntax=true", "filter[sendgridApiKey][]"),
        ("filter[nothing]=x", "filter[nothing]"),
        ("filter=x", "filter"),
        ("filter[]=x", "filter[]"),
        ("filter[createdAt]=yesterday", "filter[createdAt]"),
        ("filter[createdAt]=2026-13-01", "filter[createdAt]"),
        ("filter[createdAt]=2026-01-01..yesterday", "filter[createdAt]"),
        ("filter[createdAt]=2026-01-01..2026-01-02&newFilterSyntax=true", "filter[createdAt]"),
        ("filter[createdAt][gte]=2026-01-01", "filter[createdAt][gte]"),
        ("filter[createdAt][around]=2026-01-01&newFilterSyntax=true", "filter[createdAt][around]"),
        ("filter[userId]=x", "filter[userId]"),
        ("filter[userId]=1.5", "filter[userId]"),
        ("filter[userId]=99999999999999999999", "filter[userId]"),
        ("filter[user]=1", "filter[user]"),
        ("filter[user][email]=a@example.org", "filter[user][email]"),
        ("filter[creator][id]=1", "filter[creator][id]"),
        ("filter[updater][id]=1", "filter[updater][id]"),
        ("filter[mailings][id]=1", "filter[mailings][id]"),
        ("filter[email=x", "filter[email"),
        (listed.as_str(), "filter[id]"),
        (long.as_str(), "filter[email]"),
        ("sort=password", "sort"),
        ("sort=imapHost", "sort"),
        ("sort=-nothing", "sort"),
        ("sort=email,,id", "sort"),
        ("sort=id,email,createdAt,updatedAt,userId,-id", "sort"),
        ("page[size]=0", "page[size]"),
        ("page[size]=1001", "page[size]"),
        ("page[size]=-1", "page[size]"),
        ("page[size]=ten", "page[size]"),
        ("page[limit]=1001", "page[limit]"),
        ("page[offset]=10001", "page[offset]"),
        ("page[offset]=-1", "page[offset]"),
        ("page[after]=nonsense", "page[after]"),
        ("page[before]=%00", "page[before]"),
        ("page[number]=2", "page[number]"),
        ("count=maybe", "count"),
        ("count=", "count"),
        ("newFilterSyntax=1", "newFilterSyntax"),
        ("provideAuthorizationMeta=yes", "provideAuthorizationMeta"),
        ("include=owner", "include"),
        ("include=mailings", "include"),
        ("include=user.mailboxes", "include"),
        ("include=user.creator.creator.creator.creator", "include"),
        ("fields[mailbox]=password", "fields[mailbox]"),
        ("fields[mailbox]=emial", "fields[mailbox]"),
        ("fields[pigeon]=x", "fields[pigeon]"),
        ("fields=email", "fields"),
        ("pgae[size]=1", "pgae[size]"),
        ("%ff=1", "%ff"),
        ("sort=%ff", "sort"),
    ] {
        let path = format!("/api/v2/mailboxes?{query}");
        let request = Request { method: "GET", path: &path, ..Request::default() };
        let answer = bench.postroom.client.send(request).await.checked();
        let id = if query.contains("newFilterSyntax=true") && query.contains("..") {
            "filterParameter.invalidDatetimeFormat"
        } else {
            "badParameter"
        };
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert_eq!(answer.json["errors"][0]["id"], id, "{query}");
        assert_eq!(sources(&answer), [blamed], "{query}: {}", answer.text);
    }
    // Too many of something, and all at once.
    let path = format!("/api/v2/mailboxes?newFilterSyntax=true&{}", filters.join("&"));
    bench.postroom.client.get(&path).await.expect(200);
    let path = "/api/v2/mailboxes?sort=x&include=y&page[size]=0&fields[z]=1&filter[w]=1";
    let answer = bench.postroom.client.get(path).await.expect(400);
    let mut blamed = sources(&answer);
    blamed.sort();
    assert_eq!(blamed, ["fields[z]", "filter[w]", "include", "page[size]", "sort"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn show_and_write_take_no_parameters_of_lists() {
    let bench = Bench::start().await;
    for (method, path) in [
        ("GET", "/api/v2/mailboxes/1?filter[email]=x"),
        ("GET", "/api/v2/mailboxes/1?sort=email"),
        ("GET", "/api/v2/mailboxes/1?page[size]=1"),
        ("POST", "/api/v2/mailboxes/1/actions/sync?actionParams[force]=true"),
        ("POST", "/api/v2/mailboxes?page[size]=1"),
        ("PATCH", "/api/v2/mailboxes/1?count=true"),
    ] {
        let headers = &[("Content-Type", "application/json")];
        let request = Request { method, path, headers, body: (method != "GET").then_some(b"{}") };
        let answer = bench.refused(&bench.postroom.client, request, 400, "badParameter").await;
        assert!(!sources(&answer)[0].is_empty(), "{path}");
    }
    bench.stop().await;
}
