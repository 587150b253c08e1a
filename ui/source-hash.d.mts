import type { Plugin } from 'vite';
export default function plugin(): Plugin;
