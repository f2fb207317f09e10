package physical

// DroppedBy is the transaction that deletes a row of a shared catalog and has not ended, 0 if there is none: it is newer than
// the xmax of the snapshot, or the server, also one in recovery, says that it is in progress. x is the xmax of the row,
// next that of the snapshot, newer how much newer x is.
const DroppedBy = `CASE WHEN x = 0 THEN 0 WHEN newer < 2147483648 THEN x
       WHEN pg_catalog.pg_xact_status((next - 4294967296 + newer)::text::xid8) = 'in progress' THEN x ELSE 0 END`
