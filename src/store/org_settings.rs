//! The settings of the organisation: one record.

use super::record::{Index, Record, get};
use super::tables::{ORG_SETTINGS, Table};
use super::{Reader, StoreError, Work};
use crate::domain::event::{Event, EventKind};
use crate::domain::org_settings::OrgSettings;

impl Record for OrgSettings {
    const TABLE: Table = ORG_SETTINGS;
    const INDEXES: &'static [Index] = &[];
    const COUNTER: &'static str = "orgSettings";

    fn id(&self) -> u64 {
        Self::ID
    }
}

/// The settings; until somebody sets one, all are null.
pub fn org_settings(reader: &impl Reader) -> Result<OrgSettings, StoreError> {
    Ok(get(reader, OrgSettings::ID)?.unwrap_or_default())
}

impl Work<'_> {
    pub fn save_org_settings(&mut self, settings: &OrgSettings) -> Result<(), StoreError> {
        self.put_record(None, settings)?;
        self.event(Event::new(EventKind::OrgSettingUpdated, self.now()))?;
        Ok(())
    }
}
