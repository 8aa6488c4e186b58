/** Where the project lies, as the service says that publishes it (GITHUB_REPOSITORY: owner/name). */
export function places() {
  const { GITHUB_REPOSITORY: name, GITHUB_SERVER_URL: server = 'https://github.com' } = process.env;
  if (!name) {
    console.error('GITHUB_REPOSITORY is not set: the package names no repository, bug tracker or home page');
    return {};
  }
  const url = `${server}/${name}`;
  return {
    repository: { type: 'git', url: `git+${url}.git` },
    bugs: `${url}/issues`,
    homepage: `${url}#readme`,
  };
}
