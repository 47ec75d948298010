/** How often statistics are collected (crio.conf(5), crio.stats). */
import type { SettingsShape } from "../config/Settings.ts"

/** Seconds; 0: when somebody asks. */
export const collectionPeriod = ({ stats }: SettingsShape): number =>
  stats.collection_period > 0 ? stats.collection_period : stats.stats_collection_period
