// The two services of the dashboard, in pm2's words:
//
//   pm2 start ecosystem.dashboard-integration.config.js
//
// dogwatch starts them from their entries in ecosystem.toml and takes the memory limits from here.
module.exports = {
  apps: [
    {
      name: 'dashboard-api-server',
      script: 'bin/dashboard-api',
      interpreter: 'none',
      max_memory_restart: '1G',
    },
    {
      name: 'websocket-server',
      script: 'bin/websocket',
      interpreter: 'none',
      max_memory_restart: '512M',
    },
  ],
};
