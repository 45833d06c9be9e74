//! The rules one by one. Each says in a sentence what it objects to, and from when on it does not.

use super::{Gate, Question, Why};
use crate::connect::effective::EffectiveSettings;
use crate::domain::limits::{DAY, WEEK, Window};
use crate::domain::time::Timestamp;
use crate::domain::user::User;
use crate::providers::presets;
use crate::send::outlook::host_of;
use crate::store::{Reader, Slots, StoreError, get, messages_after, slots};
use std::time::Duration;

/// A full disk is looked at again after this long.
const SPACE_AGAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether a probe has come to its end; its success is heard of at once.
const PROBING: Duration = Duration::from_secs(5);

pub(super) fn switched_off(reader: &impl Reader, question: &Question<'_>) -> Result<Gate, StoreError> {
    if question.mailbox.settings.send_disabled == Some(true) {
        return Ok(Gate::hold(Why::Disabled, "Sending is disabled for this mailbox."));
    }
    if get::<User>(reader, question.mailbox.user_id)?.is_none_or(|owner| owner.locked) {
        return Ok(Gate::hold(Why::Disabled, "The owner of this mailbox is locked."));
    }
    Ok(Gate::Go)
}

/// Nothing is sent whose outcome may find no room on the disk.
pub(super) fn space(reader: &impl Reader, question: &Question<'_>) -> Gate {
    let Some(shortage) = reader.shortage() else { return Gate::Go };
    Gate::not_before(question.moment.now.plus(SPACE_AGAIN), Why::Space, shortage.to_string())
}

pub(super) fn clock(question: &Question<'_>) -> Gate {
    match (question.moment.behind, question.moment.fault()) {
        (Some(before), Some(reason)) => Gate::not_before(before, Why::Clock, reason),
        _ => Gate::Go,
    }
}

/// While a failure stands the mailbox waits for its probe, and then one mailing alone is the probe: four log-ins with a
/// refused password are four steps towards a locked account.
pub(super) fn failure(reader: &impl Reader, question: &Question<'_>) -> Result<Gate, StoreError> {
    let send = &question.status.send;
    let Some(failure) = &send.failure else { return Ok(Gate::Go) };
    let now = question.moment.now;
    Ok(match send.probe_at {
        Some(at) if at > now => {
            let reason = format!("Sending is paused after a failure and is tried again at {at}: {}", failure.sentence);
            Gate::not_before(at, Why::Failure, reason)
        }
        _ if slots(reader, question.mailbox.id)?.held() > 0 => {
            let reason =
                format!("Sending is being tried again after a failure, with one mailing: {}", failure.sentence);
            Gate::not_before(now.plus(PROBING), Why::Failure, reason)
        }
        _ => Gate::Go,
    })
}

pub(super) fn host(question: &Question<'_>, effective: &EffectiveSettings) -> Gate {
    let Some(host) = host_of(effective) else { return Gate::Go };
    let Some((until, sentence)) = question.outlook.hosts.trouble(&host, &question.moment) else { return Gate::Go };
    let at = question.moment.by_the_wall(until);
    let reason = format!("The server {} is in trouble and is tried again at {at}: {sentence}", host.0);
    Gate::not_before(at, Why::Host, reason)
}

/// `sendRequiresSync`: the inbox was synced in this run, and within twice its present frequency.
pub(super) fn sync(
    reader: &impl Reader,
    question: &Question<'_>,
    effective: &EffectiveSettings,
) -> Result<Gate, StoreError> {
    let (settings, now) = (&question.mailbox.settings, question.moment.now);
    if !effective.send_requires_sync {
        return Ok(Gate::Go);
    }
    let cannot = if settings.sync_disabled == Some(true) {
        Some("syncing is disabled for it".to_owned())
    } else {
        effective.sync.as_ref().err().map(|failure| format!("it cannot be synced: {}", failure.sentence))
    };
    if let Some(cannot) = cannot {
        let reason = format!("This mailbox sends only after a recent sync (sendRequiresSync), but {cannot}");
        return Ok(Gate::hold(Why::Settings, ended(reason)));
    }
    let Some(inboxes) = &question.outlook.inboxes else { return Ok(Gate::Go) };
    let owner = get::<User>(reader, question.mailbox.user_id)?;
    let within = settings.sync_frequency(owner.as_ref(), now).saturating_mul(2);
    if inboxes.synced_at(question.mailbox.id).is_some_and(|at| at.plus(within) >= now) {
        return Ok(Gate::Go);
    }
    let mut reason = "Sending waits until the inbox has been synced (sendRequiresSync).".to_owned();
    if let Some(failure) = &question.status.sync.failure {
        reason = format!("{reason} The last sync failed: {}", ended(failure.sentence.clone()));
    }
    Ok(Gate::hold(Why::Sync, reason))
}

fn ended(mut sentence: String) -> String {
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

/// Everything that counts what was sent.
pub(super) fn limits<R: Reader>(
    reader: &R,
    question: &Question<'_>,
    effective: &EffectiveSettings,
) -> Result<Gate, StoreError> {
    let settings = &question.mailbox.settings;
    let slots = slots(reader, question.mailbox.id)?;
    let mut gate = Gate::Go;
    if let (Some(count), Some(period)) = (settings.send_threshold, settings.send_period) {
        let reason = format!("You've reached the limit of {count} mailings per {period} seconds (sendThreshold).");
        gate = gate.or(window(question, &slots, count, Duration::from_secs(period), reason)?);
    }
    let rolling = [
        (settings.max_mailings_per_day, DAY, "24 hours", "maxMailingsPerDay"),
        (settings.max_mailings_per_week, WEEK, "7 days", "maxMailingsPerWeek"),
    ];
    for (count, period, text, name) in rolling {
        let Some(count) = count else { continue };
        if count == 0 {
            return Ok(Gate::hold(Why::Limit, format!("{name} is 0: this mailbox sends nothing.")));
        }
        let reason = format!("You've reached the limit of {count} mailings in {text} ({name}).");
        gate = gate.or(window(question, &slots, count, period, reason)?);
    }
    if let Some(count) = settings.max_emails_per_day {
        if count == 0 {
            return Ok(Gate::hold(Why::Limit, "maxEmailsPerDay is 0: this mailbox sends nothing."));
        }
        gate = gate.or(all_mail(reader, question, &slots, count)?);
    }
    if let Some(preset) = effective.preset
        && let Some(count) = preset.limits.recipients_per_day
    {
        gate = gate.or(recipients(question, &slots, preset, count)?);
    }
    if settings.spread_evenly == Some(true)
        && let Some(count) = settings.max_mailings_per_day
    {
        gate = gate.or(spread(question, &slots, count)?);
    }
    Ok(gate.with_its_time())
}

fn window<R: Reader>(
    question: &Question<'_>,
    slots: &Slots<'_, R>,
    count: u64,
    period: Duration,
    reason: String,
) -> Result<Gate, StoreError> {
    let now = question.moment.steady;
    let window = Window { count, period };
    let nth = match count.checked_sub(slots.held()) {
        // As if what is under way left now; when it ends, the mailbox is asked again.
        None | Some(0) => Some(now),
        Some(nth) => slots.nth_latest(nth)?,
    };
    Ok(match window.opens_at(nth, now) {
        Some(at) if at > now => Gate::not_before(question.moment.by_the_wall(at), Why::Limit, reason),
        _ => Gate::Go,
    })
}

/// `maxEmailsPerDay`: messages of the mailbox by their dates, and our own mailings by their slots.
fn all_mail<R: Reader>(
    reader: &R,
    question: &Question<'_>,
    slots: &Slots<'_, R>,
    count: u64,
) -> Result<Gate, StoreError> {
    let now = question.moment.now;
    let is_open =
        |at: Timestamp| -> Result<bool, StoreError> { Ok(emails_in_day(reader, question, slots, at)? < count) };
    if is_open(now)? {
        return Ok(Gate::Go);
    }
    // What counts now has left the window a day from now; in between it only gets less.
    let (mut shut, mut open) = (now.millis(), now.plus(DAY).millis());
    while open - shut > 1 {
        let middle = shut + (open - shut) / 2;
        if is_open(Timestamp::from_millis(middle))? { open = middle } else { shut = middle }
    }
    let reason =
        format!("You've reached the limit of {count} emails in 24 hours, sent and received (maxEmailsPerDay).");
    Ok(Gate::not_before(Timestamp::from_millis(open), Why::Limit, reason))
}

/// How many emails, in and out, lie in the 24 hours before a moment of the wall clock.
fn emails_in_day<R: Reader>(
    reader: &R,
    question: &Question<'_>,
    slots: &Slots<'_, R>,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let since = at.minus(DAY);
    let own = slots.spent_after(question.moment.in_steady(since))? + slots.held();
    Ok(own + messages_after(reader, question.mailbox.id, since)?)
}

/// What a provider allows by recipients; where it counts by days of its own calendar, until its midnight.
fn recipients<R: Reader>(
    question: &Question<'_>,
    slots: &Slots<'_, R>,
    preset: &presets::Preset,
    count: u64,
) -> Result<Gate, StoreError> {
    let moment = question.moment;
    let reason = format!("You've reached {}'s limit of {count} recipients a day.", preset.title);
    // A mailing with more recipients than a whole day allows goes out alone rather than never.
    let wanted = question.recipients.clamp(1, count.max(1));
    let room = count.saturating_sub(slots.held_recipients()).checked_sub(wanted);
    if preset.limits.calendar_day {
        let (begins, ends) = presets::calendar_day(moment.now);
        let so_far = slots.recipients_after(moment.in_steady(begins).minus(Duration::from_millis(1)))?;
        return Ok(match room {
            Some(room) if so_far <= room => Gate::Go,
            _ => Gate::not_before(ends, Why::Limit, reason),
        });
    }
    let leaves = match room {
        None => Some(moment.steady),
        Some(room) => slots.last_beyond_recipients(room)?,
    };
    Ok(match leaves.map(|at| at.plus(DAY)) {
        Some(at) if at > moment.steady => Gate::not_before(moment.by_the_wall(at), Why::Limit, reason),
        _ => Gate::Go,
    })
}

/// `spreadEvenly`: what the day limit leaves, spaced over the time until it leaves more.
fn spread<R: Reader>(question: &Question<'_>, slots: &Slots<'_, R>, count: u64) -> Result<Gate, StoreError> {
    let moment = question.moment;
    let now = moment.steady;
    let day_ago = now.minus(DAY);
    let last = if slots.held() > 0 { Some(now) } else { slots.nth_latest(1)? };
    let (Some(last), true) = (last, count > 0) else { return Ok(Gate::Go) };
    let used = slots.spent_after(day_ago)? + slots.held();
    let left = count.saturating_sub(used);
    let until_more = slots
        .first_after(day_ago)?
        .map_or(DAY, |first| Duration::from_millis(first.plus(DAY).millis_since(now).max(0).unsigned_abs()));
    let parts = |whole: Duration, parts: u64| {
        Duration::from_millis(u64::try_from(whole.as_millis()).unwrap_or(u64::MAX) / parts.max(1))
    };
    let apart = parts(DAY, count).max(parts(until_more, left + 1));
    let at = last.plus(apart);
    if at <= now {
        return Ok(Gate::Go);
    }
    let reason = format!(
        "Mailings are spread over the day (spreadEvenly): with {left} of {count} left, the next one follows {} seconds \
         after the last.",
        apart.as_secs()
    );
    Ok(Gate::not_before(moment.by_the_wall(at), Why::Limit, reason))
}

/// The counters that a mailbox shows.
pub struct Counters {
    pub sent_in_day: u64,
    pub sent_in_week: u64,
    pub emails_in_day: u64,
}

/// Reads the counters; attempts under way count as sent.
pub fn counters(reader: &impl Reader, question: &Question<'_>) -> Result<Counters, StoreError> {
    let slots = slots(reader, question.mailbox.id)?;
    let steady = question.moment.steady;
    Ok(Counters {
        sent_in_day: slots.spent_after(steady.minus(DAY))? + slots.held(),
        sent_in_week: slots.spent_after(steady.minus(WEEK))? + slots.held(),
        emails_in_day: emails_in_day(reader, question, &slots, question.moment.now)?,
    })
}
