import preact from '@preact/preset-vite';
import { defineConfig } from 'vite';
import sourceHash from './source-hash.mjs';

// The built files lie where the Go package ui embeds them. Names carry no hash, so that a rebuild of the same source
// changes no file; the server answers with an ETag instead.
export default defineConfig({
  base: './',
  plugins: [preact(), sourceHash()],
  build: {
    outDir: '../pkg/ui/dist',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        entryFileNames: 'assets/[name].js',
        chunkFileNames: 'assets/[name].js',
        assetFileNames: 'assets/[name][extname]',
      },
    },
  },
  server: { proxy: { '^/(?!ui/|src/|node_modules/|@)': 'http://127.0.0.1:3100' } },
});
