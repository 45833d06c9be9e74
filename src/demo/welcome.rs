//! What is printed once the demo is ready: for a program one line of JSON, for a person what to try.

use super::Ready;
use super::seed::LIMIT;
use super::stage::{ANN, BERT, CLARA, DORA, GRACE, PASSWORD};
use serde_json::{Value, json};

impl Ready {
    /// One line.
    pub fn to_json(&self) -> String {
        json!({
            "url": self.url,
            "uiLink": Value::Null,
            "token": self.token,
            "smtp": self.smtp.to_string(),
            "imap": self.imap.to_string(),
            "dataDir": self.data_dir,
        })
        .to_string()
    }

    pub(super) fn welcome(&self, seconds: Option<u64>) -> String {
        let Self { url, token, smtp, imap, data_dir } = self;
        let (count, period) = LIMIT;
        let data_dir = data_dir.display();
        let end = seconds.map_or("Ctrl-C ends it.".to_owned(), |seconds| format!("It ends after {seconds} seconds."));
        let curl = r#"curl -gsS -H "$A""#;
        let json = "-H 'Content-Type: application/vnd.api+json'";
        let mail = format!(
            r#"{{"data":{{"type":"mailing","attributes":{{"to":["{GRACE}"],"subject":"One more","bodyText":"Hello Grace"}},"relationships":{{"mailbox":{{"data":{{"type":"mailbox","id":1}}}}}}}}}}"#
        );
        let right = format!(r#"{{"data":{{"type":"mailbox","id":3,"attributes":{{"password":"{PASSWORD}"}}}}}}"#);
        format!(
            r#"Postroom demo. Nothing leaves this machine. {end}

  API   {url}/api/v2
  Mail  SMTP {smtp}, IMAP {imap}: the demo's own server; the password of every account is "{PASSWORD}"
  Data  {data_dir}, removed at the end

  1  {ANN}    healthy
  2  {BERT}   may send {count} mailings in {period} seconds
  3  {CLARA}  has a wrong password
  4  {DORA}   sends, but does not sync

Try in another terminal:

  U={url}/api/v2; A='Authorization: Bearer {token}'
  {curl} "$U/mailboxes?fields[mailbox]=email,sendState,syncState,lastError"
  {curl} "$U/mailings?fields[mailing]=to,subject,state,delayReason,errorReason"
  {curl} "$U/mailings/2"
  {curl} "$U/messages?filter[mailbox][id]=1"
  {curl} {json} "$U/mailings" -d '{mail}'
  {curl} {json} -X PATCH "$U/mailboxes/3" -d '{right}'

What happens:
"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Ready {
        Ready {
            url: "http://127.0.0.1:8025".into(),
            token: "prt_x".into(),
            smtp: "127.0.0.1:1".parse().unwrap(),
            imap: "127.0.0.1:2".parse().unwrap(),
            data_dir: "/tmp/x/data".into(),
        }
    }

    #[test]
    fn programs_get_one_line_of_json() {
        let line = ready().to_json();
        assert!(!line.contains('\n'));
        let expected = json!({
            "url": "http://127.0.0.1:8025", "uiLink": null, "token": "prt_x", "smtp": "127.0.0.1:1",
            "imap": "127.0.0.1:2", "dataDir": "/tmp/x/data",
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }

    #[test]
    fn the_documents_to_paste_are_json() {
        let welcome = ready().welcome(None);
        let documents: Vec<&str> = welcome.lines().filter_map(|line| line.split(" -d '").nth(1)).collect();
        assert_eq!(documents.len(), 2);
        for document in documents {
            assert!(serde_json::from_str::<Value>(document.trim_end_matches('\'')).is_ok(), "{document}");
        }
    }
}
