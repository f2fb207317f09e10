// What cofre brings to a monitoring mixin: rules and dashboard as they are in this folder.
{
  prometheusAlerts+:: {
    groups+: std.parseYaml(importstr 'rules.yml').groups,
  },
  grafanaDashboards+:: {
    'cofre.json': import 'dashboard.json',
  },
}
