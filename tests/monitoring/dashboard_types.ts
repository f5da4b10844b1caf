// Types of deploy/grafana/tfarm.json, which make monitoring puts behind the last line.
import type * as common from "@grafana/grafana-foundation-sdk/common";
import type { Dashboard, FieldConfig, FieldConfigSource, Panel, RowPanel } from "@grafana/grafana-foundation-sdk/dashboard";
import type * as heatmap from "@grafana/grafana-foundation-sdk/heatmap";
import type { Dataquery } from "@grafana/grafana-foundation-sdk/prometheus";
import type * as stat from "@grafana/grafana-foundation-sdk/stat";
import type * as table from "@grafana/grafana-foundation-sdk/table";
import type * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

// JSON has the values of enums as strings.
type Plain<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
// Options that a panel leaves out have Grafana's defaults.
type Some<T> = T extends (infer E)[] ? Some<E>[] : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;
type Query = Omit<Dataquery, "_implementsDataqueryVariant">;
type Fields<Custom> = Omit<FieldConfigSource, "defaults"> & { defaults: Omit<FieldConfig, "custom"> & { custom?: Some<Custom> } };
type Of<Name extends string, Options, Custom> = Omit<Panel, "type" | "targets" | "options" | "fieldConfig"> & {
  type: Name; targets: Query[]; options: Some<Options>; fieldConfig: Fields<Custom>;
};
type Panels =
  | Of<"timeseries", timeseries.Options, timeseries.FieldConfig>
  | Of<"stat", stat.Options, never>
  | Of<"heatmap", heatmap.Options, heatmap.FieldConfig>
  | Of<"table", table.Options, table.FieldConfig>
  | (Omit<RowPanel, "type"> & { type: "row" });
type Whole = Omit<Dashboard, "panels"> & { panels: Panels[] };

export const checked: Plain<Whole> =
