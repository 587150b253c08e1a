// Levels of lines and their colours, the same in the histogram and in the list.
import type { Entry, Labels } from './api';

export const levels = ['critical', 'error', 'warn', 'info', 'debug', 'trace', 'unknown'] as const;
export type Level = (typeof levels)[number];

export const levelColor: Record<Level, string> = {
  critical: '#a855f7', error: '#e5484d', warn: '#f5a524', info: '#2f9e6e', debug: '#3b82f6', trace: '#64a0b8', unknown: '#8b939c',
};

const names: Record<string, Level> = {
  fatal: 'critical', critical: 'critical', crit: 'critical', emerg: 'critical', alert: 'critical', panic: 'critical', error: 'error', err: 'error', eror: 'error',
  warning: 'warn', warn: 'warn', info: 'info', information: 'info', informational: 'info', notice: 'info', debug: 'debug', dbug: 'debug', trace: 'trace',
};

export const toLevel = (text: string | undefined): Level => names[(text ?? '').toLowerCase()] ?? 'unknown';

export const levelOfLabels = (l: Labels): Level => toLevel(l.detected_level || l.level || l.severity);

export const levelOf = (e: Entry): Level => {
  const m = { ...e.labels, ...e.meta.parsed, ...e.meta.structuredMetadata };
  return levelOfLabels(m);
};
