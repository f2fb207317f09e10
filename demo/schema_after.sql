-- Second half: what holds the rows together, watches them, and says who may see them.

SET search_path = grc, public;

ALTER TABLE profiles ADD FOREIGN KEY (organization_id) REFERENCES organizations ON DELETE CASCADE;
ALTER TABLE controls ADD FOREIGN KEY (framework_id) REFERENCES frameworks;
ALTER TABLE assessments
  ADD FOREIGN KEY (organization_id) REFERENCES organizations ON DELETE CASCADE,
  ADD FOREIGN KEY (framework_id) REFERENCES frameworks, ADD FOREIGN KEY (owner_id) REFERENCES profiles;
ALTER TABLE answers
  ADD FOREIGN KEY (assessment_id) REFERENCES assessments ON DELETE CASCADE,
  ADD FOREIGN KEY (control_id) REFERENCES controls, ADD FOREIGN KEY (author_id) REFERENCES profiles;
ALTER TABLE evidence ADD FOREIGN KEY (answer_id) REFERENCES answers ON DELETE CASCADE, ADD FOREIGN KEY (uploaded_by) REFERENCES profiles;
ALTER TABLE risks ADD FOREIGN KEY (organization_id) REFERENCES organizations, ADD FOREIGN KEY (owner_id) REFERENCES profiles ON DELETE SET NULL;
ALTER TABLE policies ADD FOREIGN KEY (organization_id) REFERENCES organizations, ADD FOREIGN KEY (approved_by) REFERENCES profiles;
ALTER TABLE vendors ADD FOREIGN KEY (organization_id) REFERENCES organizations;
ALTER TABLE incidents ADD FOREIGN KEY (organization_id) REFERENCES organizations;
ALTER TABLE audit_events ADD PRIMARY KEY (id, at), ADD FOREIGN KEY (organization_id) REFERENCES organizations;
ALTER TABLE notifications ADD FOREIGN KEY (profile_id) REFERENCES profiles ON DELETE CASCADE;
ALTER TABLE comments
  ADD FOREIGN KEY (answer_id) REFERENCES answers ON DELETE CASCADE, ADD FOREIGN KEY (author_id) REFERENCES profiles,
  ADD FOREIGN KEY (parent_id) REFERENCES comments DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tags ADD FOREIGN KEY (organization_id) REFERENCES organizations;
ALTER TABLE risk_tags ADD FOREIGN KEY (risk_id) REFERENCES risks ON DELETE CASCADE, ADD FOREIGN KEY (tag_id) REFERENCES tags;
ALTER TABLE private.api_keys ADD FOREIGN KEY (organization_id) REFERENCES organizations;

CREATE UNIQUE INDEX profiles_email ON profiles (lower(email));
CREATE INDEX controls_search ON controls USING gin (search);
CREATE INDEX answers_assessment ON answers (assessment_id, status) INCLUDE (confidence);
CREATE INDEX answers_open ON answers (updated_at) WHERE status IN ('rascunho', 'em revisão');
CREATE INDEX change_logs_row ON change_logs (table_name, row_id);
CREATE INDEX evidence_answer ON evidence (answer_id);
CREATE INDEX audit_events_details ON audit_events USING gin (details jsonb_path_ops);
CREATE INDEX notifications_unread ON notifications (profile_id) WHERE read_at IS NULL;
CREATE STATISTICS answers_together (dependencies) ON assessment_id, status FROM answers;

-- A sequence of the guide's trap: after a data-only restore it stays at 1, and the next insert fails.
SELECT setval('answers_id_seq', max(id)) FROM answers;
SELECT setval('change_logs_id_seq', max(id) + 100) FROM change_logs;
SELECT setval('notifications_id_seq', max(id)) FROM notifications;
SELECT setval('comments_id_seq', max(id)) FROM comments;
SELECT setval('tags_id_seq', max(id)) FROM tags;
SELECT setval('incident_number', max(number)) FROM incidents;
SELECT setval(pg_get_serial_sequence('controls', 'id'), max(id)) FROM controls;
SELECT setval(pg_get_serial_sequence('frameworks', 'id'), max(id)) FROM frameworks;
SELECT setval(pg_get_serial_sequence('vendors', 'id'), max(id)) FROM vendors;
SELECT setval(pg_get_serial_sequence('risks', 'id'), max(id)) FROM risks;

CREATE FUNCTION private.current_organization() RETURNS uuid LANGUAGE sql STABLE
  AS $$ SELECT nullif(current_setting('app.organization', true), '')::uuid $$;

CREATE FUNCTION private.log_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = grc, pg_temp AS $$
BEGIN
  INSERT INTO grc.change_logs (table_name, row_id, changed_by, action, old_row, new_row)
  VALUES (TG_TABLE_NAME, coalesce(NEW.id, OLD.id)::text, session_user,
    CASE TG_OP WHEN 'INSERT' THEN 'inserção' WHEN 'UPDATE' THEN 'alteração' ELSE 'exclusão' END::grc.change_action,
    CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
  RETURN NULL;
END $$;

CREATE FUNCTION private.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;

CREATE FUNCTION private.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a trilha de auditoria não se altera';
END $$;

CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON answers FOR EACH ROW EXECUTE FUNCTION private.log_change();
CREATE TRIGGER touch BEFORE UPDATE ON answers FOR EACH ROW EXECUTE FUNCTION private.touch();
CREATE TRIGGER touch BEFORE UPDATE ON profiles FOR EACH ROW EXECUTE FUNCTION private.touch();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON change_logs FOR EACH ROW EXECUTE FUNCTION private.refuse();
ALTER TABLE change_logs ENABLE ALWAYS TRIGGER append_only;

CREATE VIEW open_risks WITH (security_barrier) AS
  SELECT r.*, o.name AS organization FROM risks r JOIN organizations o ON o.id = r.organization_id WHERE r.closed_at IS NULL;

CREATE MATERIALIZED VIEW compliance AS
  SELECT a.organization_id, f.code AS framework, w.status, count(*) AS answers, round(avg(w.confidence), 2) AS confidence
  FROM answers w JOIN assessments a ON a.id = w.assessment_id JOIN frameworks f ON f.id = a.framework_id
  GROUP BY 1, 2, 3;
CREATE UNIQUE INDEX compliance_key ON compliance (organization_id, framework, status);

-- Who may see what. The application connects as trustlayer_app and sees one organisation.
GRANT USAGE ON SCHEMA grc TO trustlayer_app, trustlayer_reader, trustlayer_auditor;
GRANT USAGE ON SCHEMA private TO trustlayer_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA grc TO trustlayer_app;
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA grc TO trustlayer_app;
REVOKE UPDATE, DELETE ON change_logs, audit_events FROM trustlayer_app;
GRANT SELECT ON open_risks, compliance, frameworks, controls TO trustlayer_reader;
GRANT SELECT (id, organization_id, full_name, role) ON profiles TO trustlayer_reader;
GRANT SELECT ON change_logs, audit_events TO trustlayer_auditor WITH GRANT OPTION;
REVOKE ALL ON FUNCTION private.log_change() FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE trustlayer_owner IN SCHEMA grc GRANT SELECT ON TABLES TO trustlayer_auditor;

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['profiles', 'assessments', 'risks', 'policies', 'vendors', 'incidents', 'tags'] LOOP
    EXECUTE format('ALTER TABLE grc.%I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own_organization ON grc.%I TO trustlayer_app '
      'USING (organization_id = private.current_organization()) WITH CHECK (organization_id = private.current_organization())', t);
    EXECUTE format('CREATE POLICY auditors_read ON grc.%I FOR SELECT TO trustlayer_auditor USING (true)', t);
  END LOOP;
END $$;
ALTER TABLE answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE incidents FORCE ROW LEVEL SECURITY;
CREATE POLICY own_assessments ON answers TO trustlayer_app USING (EXISTS (
  SELECT FROM assessments a WHERE a.id = assessment_id AND a.organization_id = private.current_organization()));
CREATE POLICY closed_is_closed ON answers AS RESTRICTIVE FOR UPDATE TO trustlayer_app USING (NOT EXISTS (
  SELECT FROM assessments a WHERE a.id = assessment_id AND a.closed));

COMMENT ON COLUMN risks.exposure IS 'Probabilidade × impacto, em reais';
COMMENT ON POLICY closed_is_closed ON answers IS 'Uma avaliação encerrada não muda';
