import { element } from './elements.ts';
import { allowScriptedStyles } from './scripted-styles.ts';
import { Workspace } from './workspace.ts';

/** The page is at `/workspace/<sandbox id>`. */
const id = location.pathname.split('/').at(-1) ?? '';

allowScriptedStyles(document);
element('sandbox').textContent = id;
void new Workspace().open(`${location.origin}/sandboxes/${id}`);
